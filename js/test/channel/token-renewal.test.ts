import assert from "node:assert/strict";
import { test } from "node:test";
import type { TokenSource } from "../../src/channel/credentials.js";
import { renewalDelay } from "../../src/channel/token-renewal.js";
import * as codes from "../../src/protocol/codes.js";
import { FakeBrowser } from "../helpers/fake-browser.js";
import { seededRandom, settle } from "../helpers/manual-clock.js";
import * as recorder from "../helpers/recorder.js";

const { tokenFunction } = recorder;

function connect(token: TokenSource) {
  const browser = new FakeBrowser();
  return {
    browser,
    clock: browser.clock,
    ...recorder.connect(browser, { token, transports: ["websocket"] }),
  };
}

const NOW_MS = 1_700_000_000_000;
const NOW_S = NOW_MS / 1000;

test("renews between 75 and 95 % of the remaining lifetime", () => {
  const random = seededRandom(7);
  const delays = Array.from({ length: 500 }, () => renewalDelay(NOW_S + 7200, NOW_MS, random()) ?? 0);
  assert.ok(Math.min(...delays) >= 0.75 * 7_200_000);
  assert.ok(Math.max(...delays) < 0.95 * 7_200_000);
  assert.ok(Math.max(...delays) - Math.min(...delays) > 0.15 * 7_200_000, "clients do not renew together");
});

test("does not renew a token that has nearly expired, or has by a wrong clock", () => {
  for (const left of [4, 0, -1, -1e9]) assert.equal(renewalDelay(NOW_S + left, NOW_MS, 0.5), null);
});

test("a clock that is years behind does not overflow the timer", () => {
  const delay = renewalDelay(NOW_S + 1e9, NOW_MS, 0.999);
  assert.ok(delay !== null && delay < 2 ** 31);
});

test("renews on the open connection before expiry, without a second open event", async () => {
  const { token } = tokenFunction();
  const { browser, clock, takeEvents } = connect(token);
  await settle();
  assert.deepEqual(browser.socket.protocols[1], "headrace.token.t.1");
  browser.socket.open({ expires_at: clock.now / 1000 + 40, ping_interval: 3600 });
  await clock.advance(29_999);
  assert.deepEqual(browser.socket.sent, []);
  await clock.advance(8_001);
  assert.deepEqual(browser.socket.sent, [{ type: "renew", token: "t.2" }]);
  browser.socket.open({ expires_at: clock.now / 1000 + 40, ping_interval: 3600 });
  assert.deepEqual(takeEvents(), ["open websocket null"]);
  await clock.advance(38_000);
  assert.equal(browser.socket.sent.length, 2);
  assert.equal(browser.sockets.length, 1);
});

test("a failed renewal is repeated in the remaining lifetime", async () => {
  let calls = 0;
  const { browser, clock, takeEvents } = connect(() => {
    calls += 1;
    if (calls === 2) throw new Error("session over");
    return `t.${calls}`;
  });
  await settle();
  browser.socket.open({ expires_at: clock.now / 1000 + 100, ping_interval: 3600 });
  await clock.advance(95_000);
  assert.deepEqual(takeEvents(), ["open websocket null", "error 1006 token() failed: Error: session over"]);
  await clock.advance(4_900);
  assert.deepEqual(browser.socket.sent, [{ type: "renew", token: "t.3" }]);
});

test("a fixed token is not renewed", async () => {
  const { browser, clock } = connect("t.t");
  await settle();
  browser.socket.open({ expires_at: clock.now / 1000 + 100, ping_interval: 3600 });
  await clock.advance(99_000);
  assert.deepEqual(browser.socket.sent, []);
});

test("4002 fetches a new token and reconnects at once; a second 4002 waits", async () => {
  const { token } = tokenFunction();
  const { browser, clock, takeEvents } = connect(token);
  await settle();
  browser.socket.open();
  await clock.advance(20_000);
  browser.socket.closeByServer(codes.EXPIRED_TOKEN);
  assert.deepEqual(takeEvents(), ["open websocket null", "error 4002 Token+timed+out."]);
  await clock.advance(0);
  assert.deepEqual(browser.socket.protocols[1], "headrace.token.t.2");
  browser.socket.closeByServer(codes.EXPIRED_TOKEN);
  assert.ok(clock.untilNext > 0, "no loop if the application returns expired tokens");
  await clock.advance(2_000);
  assert.deepEqual(browser.socket.protocols[1], "headrace.token.t.3");
});

test("4001 and 4003 are final even with a token function", async () => {
  for (const code of [codes.INVALID_TOKEN, codes.REVOKED_TOKEN]) {
    const { browser, takeEvents } = connect(tokenFunction().token);
    await settle();
    browser.socket.closeByServer(code);
    assert.deepEqual(takeEvents().at(-1), `close ${code}`);
  }
});

test("a token function that fails or takes too long is called again", async () => {
  let calls = 0;
  const { browser, clock, takeEvents } = connect(() => {
    calls += 1;
    if (calls === 1) throw new Error("offline");
    if (calls === 2) return new Promise(() => {});
    return `t.${calls}`;
  });
  await settle();
  assert.deepEqual(takeEvents(), ["error 1006 token() failed: Error: offline"]);
  await clock.advance(500);
  assert.equal(calls, 2);
  await clock.advance(30_000);
  assert.deepEqual(takeEvents(), ["error 1006 token() took over 30 s"]);
  await clock.advance(1_000);
  assert.deepEqual(browser.socket.protocols[1], "headrace.token.t.3");
});

test("a connection lost for another reason keeps its token", async () => {
  const { calls, token } = tokenFunction();
  const { browser, clock } = connect(token);
  await settle();
  browser.socket.open();
  browser.socket.closeByServer(codes.ABNORMAL);
  await clock.advance(500);
  assert.equal(browser.sockets.length, 2);
  assert.equal(calls.count, 1);
});
