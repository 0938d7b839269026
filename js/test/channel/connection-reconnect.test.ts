/** When a lost connection is opened again. A planned restart has a file of its own. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../../src/protocol/codes.js";
import { FakeBrowser } from "../helpers/fake-browser.js";
import { settle } from "../helpers/manual-clock.js";
import { connect, openConnection } from "../helpers/websocket-connection.js";

const RECONNECTING = [
  codes.GOING_AWAY,
  codes.PROTOCOL_ERROR,
  codes.UNSUPPORTED_DATA,
  codes.NO_STATUS,
  codes.ABNORMAL,
  codes.INVALID_PAYLOAD,
  codes.MESSAGE_TOO_BIG,
  codes.INTERNAL_ERROR,
  codes.TOO_SLOW,
  1008,
  4999,
];
for (const code of RECONNECTING) {
  test(`${code} reconnects within the first jittered delay`, async () => {
    const { browser, clock, takeEvents } = await openConnection();
    browser.socket.closeByServer(code);
    assert.deepEqual(
      takeEvents().map(([name, said, , fatal]) => [name, said, fatal]),
      [["error", code, false]],
    );
    assert.ok(clock.untilNext < 500);
    await clock.advance(500);
    assert.equal(browser.sockets.length, 2);
    browser.socket.open({ recovered: true });
    assert.deepEqual(takeEvents(), [["open", true]]);
  });
}

test("every code of the table is final or reconnects", () => {
  const tested = [...codes.FINAL, ...RECONNECTING, codes.RESTART, codes.TOO_MANY_CONNECTIONS];
  for (const value of Object.values(codes))
    if (typeof value === "number") assert.ok(tested.includes(value), `${value}`);
});

test("4029 reconnects later", async () => {
  const waits: number[] = [];
  for (let seed = 0; seed < 50; seed++) {
    const { browser, clock } = await openConnection({ browser: new FakeBrowser(seed) });
    browser.socket.closeByServer(codes.TOO_MANY_CONNECTIONS);
    waits.push(clock.untilNext);
  }
  assert.ok(Math.max(...waits) > 2_000, "from the range of the fourth delay");
  assert.ok(Math.max(...waits) < 4_000);
});

test("delays grow with each failure, and start again after a stable connection", async () => {
  const browser = new FakeBrowser();
  browser.platform.random = () => 0.5;
  const { clock } = connect({ browser });
  await settle();
  const waits = [];
  for (let i = 0; i < 8; i++) {
    browser.socket.closeByServer(codes.ABNORMAL);
    waits.push(clock.untilNext);
    await clock.advance(clock.untilNext);
  }
  assert.deepEqual(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  browser.socket.open();
  await clock.advance(9_999);
  browser.socket.closeByServer(codes.ABNORMAL);
  assert.equal(clock.untilNext, 15_000, "too short to be a success");
  await clock.advance(15_000);
  browser.socket.open();
  await clock.advance(10_000);
  browser.socket.closeByServer(codes.ABNORMAL);
  assert.equal(clock.untilNext, 250);
});

test("the delay of a reconnect frame is used once", async () => {
  const { browser, clock, takeEvents } = await openConnection();
  browser.socket.sendFrame({ type: "reconnect", delay_ms: 12_345 });
  assert.equal(browser.sockets.length, 1, "it waits until the server closes");
  browser.socket.closeByServer(codes.RESTART);
  assert.equal(clock.untilNext, 12_345);
  await clock.advance(12_345);
  assert.equal(browser.sockets.length, 2);
  takeEvents();
  browser.socket.open({ recovered: true });
  browser.socket.closeByServer(codes.ABNORMAL);
  assert.ok(clock.untilNext < 500);
});

test("a dead connection is detected by the missing ping within two intervals", async () => {
  const { browser, clock, takeEvents } = await openConnection({}, { ping_interval: 10 });
  await clock.advance(15_000);
  browser.socket.sendFrame({ type: "ping" });
  await clock.advance(19_999);
  assert.deepEqual(takeEvents(), [], "any frame shows that the connection is alive");
  await clock.advance(1);
  assert.deepEqual(takeEvents(), [["error", codes.ABNORMAL, "nothing received for 20 s", false]]);
  const [dead] = browser.sockets;
  assert.equal(dead?.closedWith, codes.NORMAL);
  await clock.advance(500);
  assert.equal(browser.sockets.length, 2);
  dead?.message("150-0");
  dead?.closeByServer(codes.NORMAL);
  assert.deepEqual(takeEvents(), [], "the dead socket is ignored");
});

test("an attempt without an answer ends after 10 s", async () => {
  const { browser, clock, takeEvents } = connect();
  await clock.advance(9_999);
  assert.deepEqual(takeEvents(), []);
  await clock.advance(1);
  assert.deepEqual(takeEvents(), [["error", codes.ABNORMAL, "no answer within 10 s", false]]);
  assert.deepEqual(browser.socket.protocols, ["headrace.v1"], "it probes until the server answers");
  await clock.advance(120_000);
  assert.deepEqual(takeEvents(), [], "it is reported once");
});

test("it connects soon after the server answers a probe, however long that took", async () => {
  const browser = new FakeBrowser();
  browser.platform.random = () => 0.5;
  const { clock } = connect({ browser });
  await clock.advance(3_000); // as if the host name could not be resolved
  browser.socket.closeByServer(codes.ABNORMAL);
  for (let calls = 0; calls < 10; calls++) await clock.advance(11_000);
  browser.socket.closeByServer(codes.INVALID_TOKEN); // any answer counts
  assert.equal(clock.untilNext, 250);
  await clock.advance(250);
  assert.equal(browser.socket.protocols.length, 2);
  for (const wait of [250, 500, 1_000, 2_000]) {
    browser.socket.closeByServer(codes.ABNORMAL); // a refusal is an answer: the delays grow
    assert.equal(clock.untilNext, wait);
    await clock.advance(wait);
  }
});

test("it stops probing when the browser is online again, and when it is closed", async () => {
  const { browser, clock, connection } = connect();
  await clock.advance(10_000);
  const [, probe] = browser.sockets;
  await browser.goOnline();
  assert.equal(probe?.closedWith, codes.NORMAL);
  assert.equal(browser.socket.protocols.length, 2);
  await clock.advance(10_000);
  connection.close();
  assert.equal(browser.socket.closedWith, codes.NORMAL);
  assert.equal(clock.timers.size, 0);
});

test("a WebSocket constructor that throws is a failed attempt", async () => {
  const browser = new FakeBrowser();
  let attempts = 0;
  browser.platform.WebSocket = class {
    constructor() {
      attempts += 1;
      throw new DOMException("blocked", "SecurityError");
    }
  } as unknown as NonNullable<typeof browser.platform.WebSocket>;
  const { clock, takeEvents } = connect({ browser });
  await settle();
  assert.deepEqual(takeEvents(), [["error", codes.ABNORMAL, "SecurityError: blocked", false]]);
  await clock.advance(clock.untilNext);
  assert.equal(attempts, 2);
});

test("reconnects at once when online or visible, while waiting", async () => {
  for (const wake of ["goOnline", "becomeVisible"] as const) {
    const { browser, clock } = await openConnection();
    browser.socket.sendFrame({ type: "reconnect", delay_ms: 60_000 });
    browser.socket.closeByServer(codes.RESTART);
    await clock.advance(1_000);
    assert.equal(browser.sockets.length, 1);
    await browser[wake]();
    assert.equal(browser.sockets.length, 2);
    await clock.advance(9_000);
    assert.equal(browser.sockets.length, 2, "the delay was cancelled");
  }
});

test("an open connection is replaced when online, but not when visible", async () => {
  const { browser, takeEvents } = await openConnection();
  browser.socket.message("101-0");
  takeEvents();
  await browser.becomeVisible();
  assert.equal(browser.sockets.length, 1);
  await browser.goOnline();
  assert.equal(browser.sockets[0]?.closedWith, codes.NORMAL);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=101-0");
  browser.socket.open({ recovered: true });
  assert.deepEqual(takeEvents(), [["open", true]]);
});

test("a page that was frozen detects a dead connection when it becomes visible", async () => {
  const { browser, clock, takeEvents } = await openConnection();
  clock.now += 3_600_000; // without running timers
  await browser.becomeVisible();
  assert.deepEqual(takeEvents(), [["error", codes.ABNORMAL, "nothing received for 50 s", false]]);
  await clock.advance(500);
  assert.equal(browser.sockets.length, 2);
});

test("an attempt that started offline is restarted when online", async () => {
  const { browser } = connect();
  await settle();
  await browser.becomeVisible();
  assert.equal(browser.sockets.length, 1);
  await browser.goOnline();
  assert.equal(browser.sockets.length, 2);
  assert.equal(browser.sockets[0]?.closedWith, codes.NORMAL);
});
