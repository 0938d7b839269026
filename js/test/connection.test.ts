import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../src/codes.js";
import { Connection } from "../src/connection.js";
import { Credentials, type TokenSource } from "../src/credentials.js";
import { selectTransports } from "../src/select.js";
import type { TransportName } from "../src/transport.js";
import { FakeBrowser, settle } from "./fakes.js";
import { tokenWith } from "./recorder.js";

/** A connection whose listener writes down what it is told. */
function connect({
  token = "h.p.s" as TokenSource,
  transports = ["websocket"] as TransportName[],
  lastId = null as string | null,
  browser = new FakeBrowser(),
} = {}) {
  const told: unknown[][] = [];
  const note =
    (name: string) =>
    (...details: unknown[]): void => {
      told.push([name, ...details]);
    };
  const connection = new Connection(
    {
      url: "https://push.example",
      credentials: new Credentials(token),
      transports: selectTransports(browser.platform, transports),
      lastId,
    },
    browser.platform,
    {
      open: (opened) => note("open")(opened.recovered),
      message: ({ id }) => note("message")(id),
      gap: note("gap"),
      error: ({ code, description, fatal }) => note("error")(code, description, fatal),
      close: note("close"),
    },
  );
  /** What was told since the last call. */
  const heard = () => told.splice(0);
  return { connection, browser, clock: browser.clock, heard };
}

/** The same, with the first socket open. */
async function connected(options: Parameters<typeof connect>[0] = {}, fields: object = {}) {
  const all = connect(options);
  await settle();
  all.browser.socket.open(fields);
  all.heard();
  return all;
}

test("connects with the token as a subprotocol, and tells nothing before the server's first word", async () => {
  const { connection, browser, heard } = connect();
  assert.equal(browser.sockets.length, 0, "nothing happens inside the constructor");
  await settle();
  assert.equal(browser.socket.url, "wss://push.example/v1/connect");
  assert.deepEqual(browser.socket.protocols, ["headrace.v1", "headrace.token.h.p.s"]);
  assert.ok(!connection.isOpen);
  assert.deepEqual(heard(), []);
  browser.socket.open();
  assert.ok(connection.isOpen);
  assert.deepEqual(heard(), [["open", null]]);
});

test("hands on messages in order and drops duplicates", async () => {
  const { browser, connection, heard } = await connected();
  for (const id of ["101-0", "101-1", "101-1", "101-0", "102-0", "101-9", "102-10", "102-9"])
    browser.socket.message(id);
  assert.deepEqual(
    heard().map(([, id]) => id),
    ["101-0", "101-1", "102-0", "102-10"],
  );
  assert.equal(connection.lastId, "102-10");
});

test("resumes after the last message, and drops what was replayed twice", async () => {
  const { browser, clock, heard } = await connected();
  browser.socket.message("101-0");
  browser.socket.end(codes.ABNORMAL);
  await clock.advance(500);
  assert.equal(browser.sockets.length, 2);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=101-0");
  browser.socket.open({ recovered: true, id: "101-0" });
  browser.socket.message("101-0");
  browser.socket.message("101-1");
  assert.deepEqual(heard(), [
    ["message", "101-0"],
    ["error", codes.ABNORMAL, "connection lost", false],
    ["open", true],
    ["message", "101-1"],
  ]);
});

test("resumes from where it started when no message came", async () => {
  const { browser, clock } = await connected();
  browser.socket.end(codes.ABNORMAL);
  await clock.advance(500);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=100-0");
});

test("resumes from an id given by the page", async () => {
  const { browser, heard } = connect({ lastId: "99-0" });
  await settle();
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=99-0");
  browser.socket.open({ recovered: true, id: "99-0" });
  browser.socket.message("99-0");
  browser.socket.message("99-1");
  assert.deepEqual(heard(), [
    ["open", true],
    ["message", "99-1"],
  ]);
});

test("a ping that names an id moves the place to resume from, not what counts as a duplicate", async () => {
  const { browser, connection, heard } = await connected();
  browser.socket.say({ type: "ping", id: "150-0" });
  assert.equal(connection.lastId, "150-0");
  browser.socket.message("151-0");
  assert.deepEqual(heard(), [["message", "151-0"]]);
});

test("replays after a fresh open may lie before its id", async () => {
  const { browser, heard } = await connected();
  browser.socket.message("90-0");
  assert.deepEqual(heard(), [["message", "90-0"]]);
});

test("tells of a gap when the server could not recover", async () => {
  const { browser, clock, heard } = await connected();
  browser.socket.message("101-0");
  browser.socket.end(codes.ABNORMAL);
  await clock.advance(500);
  heard();
  browser.socket.open({ recovered: false, id: "200-0" });
  assert.deepEqual(heard(), [
    ["open", false],
    ["gap", "101-0", "200-0"],
  ]);
  browser.socket.message("201-0");
  assert.deepEqual(heard(), [["message", "201-0"]]);
});

test("a loss is told once, even if nothing comes before the next connection", async () => {
  const { browser, clock, heard } = await connected();
  browser.socket.message("101-0");
  browser.socket.end(codes.ABNORMAL);
  await clock.advance(500);
  browser.socket.open({ recovered: false, id: "200-0" });
  browser.socket.end(codes.ABNORMAL);
  await clock.advance(1_000);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=200-0");
  browser.socket.open({ recovered: true, id: "200-0" });
  assert.equal(heard().filter(([name]) => name === "gap").length, 1);
});

/** Where the server has no memory of the client, it starts here. */
const FROM_90 = tokenWith({ sub: "ann", pos: "90-0" });

test("a connection that was lost before it was open may have been served: the next says since when", async () => {
  const { browser, clock, connection, heard } = connect({ token: FROM_90 });
  await settle();
  assert.equal(browser.socket.url, "wss://push.example/v1/connect");
  browser.socket.end(codes.ABNORMAL);
  await clock.advance(500);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?since=90-0");
  assert.equal(connection.lastId, null);
  browser.socket.open({ recovered: null, id: "90-0" });
  browser.socket.message("91-0");
  assert.deepEqual(
    heard().map(([name]) => name),
    ["error", "open", "message"],
  );
  browser.socket.end(codes.ABNORMAL);
  await clock.advance(500);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=91-0");
});

test("a refusal leaves the place to the server, which may know where an earlier page left off", async () => {
  for (const code of [codes.RESTART, codes.TOO_MANY_CONNECTIONS, codes.EXPIRED_TOKEN]) {
    const { browser, clock, connection } = connect({ token: async () => FROM_90 });
    await settle();
    browser.socket.end(code);
    await clock.advance(4_000);
    assert.equal(browser.sockets[1]?.url, "wss://push.example/v1/connect", `${code}`);
    assert.equal(connection.lastId, null);
  }
});

test("the place is that of the token that was dialled with, not of one that came later", async () => {
  let count = 0;
  const token = () => tokenWith({ sub: "ann", pos: `9${count++}-0` });
  const { browser, clock } = connect({ token });
  await settle();
  browser.socket.end(codes.EXPIRED_TOKEN);
  await clock.advance(0);
  browser.socket.end(codes.ABNORMAL);
  await clock.advance(2_000);
  assert.match(browser.socket.url, /since=91-0$/);
  browser.socket.end(codes.EXPIRED_TOKEN);
  await clock.advance(4_000);
  assert.equal(count, 3);
  assert.match(browser.socket.url, /since=91-0$/);
});

test("where nothing came in time, a session may have begun", async () => {
  for (const wait of ["timeout", "online"]) {
    const { browser, clock } = connect({ token: FROM_90 });
    await settle();
    if (wait === "timeout") {
      await clock.advance(10_000);
      browser.socket.end(codes.INVALID_TOKEN); // the call
      await clock.advance(500);
    } else await browser.comeOnline();
    assert.match(browser.socket.url, /\/v1\/connect\?since=90-0$/);
  }
});

test("takes a new order of ids after a server that lost its own", async () => {
  const { browser, clock, connection, heard } = await connected();
  browser.socket.message("500-0");
  browser.socket.end(codes.ABNORMAL);
  await clock.advance(500);
  browser.socket.open({ recovered: false, id: "3-0" });
  heard();
  assert.equal(connection.lastId, "3-0");
  browser.socket.message("4-0");
  assert.deepEqual(heard(), [["message", "4-0"]]);
});

test("hands on gaps of a slow consumer", async () => {
  const { browser, heard } = await connected();
  browser.socket.say({ type: "gap", after: "101-0", before: "105-0" });
  assert.deepEqual(heard(), [["gap", "101-0", "105-0"]]);
});

test("malformed frames are errors that end nothing; unknown ones are ignored", async () => {
  const { browser, connection, heard } = await connected();
  for (const raw of ["{", "{}", '{"id":"x","data":"y"}', new ArrayBuffer(2)]) browser.socket.raw(raw);
  assert.deepEqual(
    heard().map(([name, code, , fatal]) => [name, code, fatal]),
    Array(4).fill(["error", codes.PROTOCOL_ERROR, false]),
  );
  browser.socket.say({ type: "sent", ref: 1 });
  browser.socket.message("101-0");
  assert.deepEqual(heard(), [["message", "101-0"]]);
  assert.ok(connection.isOpen);
});

const FINAL: [number, string][] = [
  [codes.INVALID_TOKEN, "Invalid+token."],
  [codes.EXPIRED_TOKEN, "Token+timed+out."],
  [codes.REVOKED_TOKEN, "Token+revoked."],
  [codes.REPLACED, "replaced by a newer session: do not reconnect"],
];
for (const [code, description] of FINAL) {
  for (const when of ["before", "after"]) {
    test(`${code} ${when} open is final`, async () => {
      const { browser, clock, heard, connection } = when === "after" ? await connected() : connect();
      await settle();
      browser.socket.end(code, "said by the server");
      assert.deepEqual(heard(), [
        ["error", code, description.includes("+") ? description : "said by the server", true],
        ["close", code, "said by the server"],
      ]);
      await clock.advance(3_600_000);
      await browser.comeOnline();
      assert.equal(browser.sockets.length, 1);
      assert.equal(clock.timers.size, 0, "no timer is left");
      assert.equal(browser.listening, 0, "no listener is left");
      connection.close();
      await settle();
      assert.deepEqual(heard(), [], "close comes once");
    });
  }
}

test("1000 from the server is final without an error", async () => {
  const { browser, heard } = await connected();
  browser.socket.end(codes.NORMAL);
  assert.deepEqual(heard(), [["close", codes.NORMAL, "normal"]]);
});

const COMES_BACK = [
  codes.GOING_AWAY,
  codes.PROTOCOL_ERROR,
  codes.UNSUPPORTED_DATA,
  codes.NO_STATUS,
  codes.ABNORMAL,
  codes.INVALID_PAYLOAD,
  codes.MESSAGE_TOO_BIG,
  codes.INTERNAL_ERROR,
  codes.RESTART,
  codes.TOO_SLOW,
  1008,
  4999,
];
for (const code of COMES_BACK) {
  test(`${code} comes back within the first jittered wait`, async () => {
    const { browser, clock, heard } = await connected();
    browser.socket.end(code);
    assert.deepEqual(
      heard().map(([name, said, , fatal]) => [name, said, fatal]),
      [["error", code, false]],
    );
    assert.ok(clock.untilNext < 500);
    await clock.advance(500);
    assert.equal(browser.sockets.length, 2);
    browser.socket.open({ recovered: true });
    assert.deepEqual(heard(), [["open", true]]);
  });
}

test("every code of the table is final or comes back", () => {
  const tested = [...FINAL.map(([code]) => code), codes.NORMAL, ...COMES_BACK, codes.TOO_MANY_CONNECTIONS];
  for (const value of Object.values(codes))
    if (typeof value === "number") assert.ok(tested.includes(value), `${value}`);
});

test("4029 comes back later", async () => {
  const waits: number[] = [];
  for (let seed = 0; seed < 50; seed++) {
    const { browser, clock } = await connected({ browser: new FakeBrowser(seed) });
    browser.socket.end(codes.TOO_MANY_CONNECTIONS);
    waits.push(clock.untilNext);
  }
  assert.ok(Math.max(...waits) > 2_000, "from the fourth wait's range");
  assert.ok(Math.max(...waits) < 4_000);
});

test("waits grow while it fails, and begin anew after a connection that held", async () => {
  const browser = new FakeBrowser();
  browser.platform.random = () => 0.5;
  const { clock } = connect({ browser });
  await settle();
  const waits = [];
  for (let i = 0; i < 8; i++) {
    browser.socket.end(codes.ABNORMAL);
    waits.push(clock.untilNext);
    await clock.advance(clock.untilNext);
  }
  assert.deepEqual(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  browser.socket.open();
  await clock.advance(9_999);
  browser.socket.end(codes.ABNORMAL);
  assert.equal(clock.untilNext, 15_000, "too short to be a success");
  await clock.advance(15_000);
  browser.socket.open();
  await clock.advance(10_000);
  browser.socket.end(codes.ABNORMAL);
  assert.equal(clock.untilNext, 250);
});

test("a planned goodbye's delay is kept to, once", async () => {
  const { browser, clock, heard } = await connected();
  browser.socket.say({ type: "reconnect", delay_ms: 12_345 });
  assert.equal(browser.sockets.length, 1, "it waits for the server to close");
  browser.socket.end(codes.RESTART);
  assert.equal(clock.untilNext, 12_345);
  await clock.advance(12_345);
  assert.equal(browser.sockets.length, 2);
  heard();
  browser.socket.open({ recovered: true });
  browser.socket.end(codes.ABNORMAL);
  assert.ok(clock.untilNext < 500);
});

test("a dead line is noticed by the missing ping within two intervals", async () => {
  const { browser, clock, heard } = await connected({}, { ping_interval: 10 });
  await clock.advance(15_000);
  browser.socket.say({ type: "ping" });
  await clock.advance(19_999);
  assert.deepEqual(heard(), [], "any frame proves the line");
  await clock.advance(1);
  assert.deepEqual(heard(), [["error", codes.ABNORMAL, "nothing heard for 20 s", false]]);
  const [dead] = browser.sockets;
  assert.equal(dead?.closedWith, codes.NORMAL);
  await clock.advance(500);
  assert.equal(browser.sockets.length, 2);
  dead?.message("150-0");
  dead?.end(codes.NORMAL);
  assert.deepEqual(heard(), [], "the dead socket is heard no more");
});

test("a server that does not answer is given up after 10 s", async () => {
  const { browser, clock, heard } = connect();
  await clock.advance(9_999);
  assert.deepEqual(heard(), []);
  await clock.advance(1);
  assert.deepEqual(heard(), [["error", codes.ABNORMAL, "no answer within 10 s", false]]);
  assert.deepEqual(browser.socket.protocols, ["headrace.v1"], "it calls until anybody answers");
  await clock.advance(120_000);
  assert.deepEqual(heard(), [], "and says so once");
});

test("when anybody answers again, it connects soon, however long nobody did", async () => {
  const browser = new FakeBrowser();
  browser.platform.random = () => 0.5;
  const { clock } = connect({ browser });
  await clock.advance(3_000); // as if the network said that there is no such host
  browser.socket.end(codes.ABNORMAL);
  for (let calls = 0; calls < 10; calls++) await clock.advance(11_000);
  browser.socket.end(codes.INVALID_TOKEN); // no answer is as good as another
  assert.equal(clock.untilNext, 250);
  await clock.advance(250);
  assert.equal(browser.socket.protocols.length, 2);
  for (const wait of [250, 500, 1_000, 2_000]) {
    browser.socket.end(codes.ABNORMAL); // a refusal is an answer: it comes later and later
    assert.equal(clock.untilNext, wait);
    await clock.advance(wait);
  }
});

test("it stops calling when the network is said to be there, and when it is closed", async () => {
  const { browser, clock, connection } = connect();
  await clock.advance(10_000);
  const [, call] = browser.sockets;
  await browser.comeOnline();
  assert.equal(call?.closedWith, codes.NORMAL);
  assert.equal(browser.socket.protocols.length, 2);
  await clock.advance(10_000);
  connection.close();
  assert.equal(browser.socket.closedWith, codes.NORMAL);
  assert.equal(clock.timers.size, 0);
});

test("a constructor that throws is a failed try", async () => {
  const browser = new FakeBrowser();
  let tries = 0;
  browser.platform.WebSocket = class {
    constructor() {
      tries += 1;
      throw new DOMException("blocked", "SecurityError");
    }
  } as unknown as NonNullable<typeof browser.platform.WebSocket>;
  const { clock, heard } = connect({ browser });
  await settle();
  assert.deepEqual(heard(), [["error", codes.ABNORMAL, "SecurityError: blocked", false]]);
  await clock.advance(clock.untilNext);
  assert.equal(tries, 2);
});

for (const token of ["", "not a token", "h.p.s\n", "tök.en", "a,b", "."]) {
  test(`the token ${JSON.stringify(token)} fails without asking the server`, async () => {
    const { browser, heard } = connect({ token });
    assert.deepEqual(heard(), [], "not inside the constructor");
    await settle();
    assert.deepEqual(heard(), [
      ["error", codes.INVALID_TOKEN, "Invalid+token.", true],
      ["close", codes.INVALID_TOKEN, "not a JWT"],
    ]);
    assert.equal(browser.sockets.length, 0);
  });
}

test("close ends it once, a moment later", async () => {
  const { browser, clock, connection, heard } = await connected();
  connection.close();
  connection.close();
  assert.deepEqual(heard(), [], "not inside close()");
  assert.equal(browser.socket.closedWith, codes.NORMAL);
  await settle();
  assert.deepEqual(heard(), [["close", codes.NORMAL, "normal"]]);
  browser.socket.message("101-0");
  assert.deepEqual(heard(), []);
  assert.equal(clock.timers.size, 0);
  assert.equal(browser.listening, 0);
});

test("close while it connects, and while it waits", async () => {
  for (const waits of [false, true]) {
    const { browser, clock, connection, heard } = connect();
    await settle();
    if (waits) browser.socket.end(codes.ABNORMAL);
    heard();
    connection.close();
    await clock.advance(60_000);
    assert.deepEqual(heard(), [["close", codes.NORMAL, "normal"]]);
    assert.equal(browser.sockets.length, 1);
  }
});

test("close while the token is fetched", async () => {
  const { browser, connection, heard } = connect({ token: async () => "h.p.s" });
  connection.close();
  await settle();
  assert.deepEqual(heard(), [["close", codes.NORMAL, "normal"]]);
  assert.equal(browser.sockets.length, 0);
});

test("comes back at once when online or visible, while it waits", async () => {
  for (const wake of ["comeOnline", "becomeVisible"] as const) {
    const { browser, clock } = await connected();
    browser.socket.say({ type: "reconnect", delay_ms: 60_000 });
    browser.socket.end(codes.RESTART);
    await clock.advance(1_000);
    assert.equal(browser.sockets.length, 1);
    await browser[wake]();
    assert.equal(browser.sockets.length, 2);
    await clock.advance(9_000);
    assert.equal(browser.sockets.length, 2, "the wait is over");
  }
});

test("a connection of the old network is replaced when online; becoming visible leaves it", async () => {
  const { browser, heard } = await connected();
  browser.socket.message("101-0");
  heard();
  await browser.becomeVisible();
  assert.equal(browser.sockets.length, 1);
  await browser.comeOnline();
  assert.equal(browser.sockets[0]?.closedWith, codes.NORMAL);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=101-0");
  browser.socket.open({ recovered: true });
  assert.deepEqual(heard(), [["open", true]]);
});

test("a page that was frozen notices the dead line when it becomes visible", async () => {
  const { browser, clock, heard } = await connected();
  clock.now += 3_600_000; // no timer ran
  await browser.becomeVisible();
  assert.deepEqual(heard(), [["error", codes.ABNORMAL, "nothing heard for 50 s", false]]);
  await clock.advance(500);
  assert.equal(browser.sockets.length, 2);
});

test("a try begun without a network is begun anew when online", async () => {
  const { browser } = connect();
  await settle();
  await browser.becomeVisible();
  assert.equal(browser.sockets.length, 1);
  await browser.comeOnline();
  assert.equal(browser.sockets.length, 2);
  assert.equal(browser.sockets[0]?.closedWith, codes.NORMAL);
});
