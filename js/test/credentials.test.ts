import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../src/codes.js";
import { Connection } from "../src/connection.js";
import { Credentials } from "../src/credentials.js";
import { selectTransports } from "../src/select.js";
import { FakeBrowser, settle } from "./fakes.js";

/** A token function that counts: the tokens are `t.1`, `t.2` and so on. */
function tokenFunction() {
  const calls = { count: 0 };
  return { calls, token: async () => `t.${++calls.count}` };
}

function connect(token: () => string | Promise<string>) {
  const browser = new FakeBrowser();
  const told: string[] = [];
  const connection = new Connection(
    {
      url: "https://push.example",
      credentials: new Credentials(token),
      transports: selectTransports(browser.platform, ["websocket"]),
      lastId: null,
    },
    browser.platform,
    {
      open: () => told.push("open"),
      message: ({ id }) => told.push(id),
      gap: () => told.push("gap"),
      error: ({ code, description, fatal }) =>
        told.push(`${fatal ? "fatal" : "error"} ${code} ${description}`),
      close: (code) => told.push(`close ${code}`),
    },
  );
  return { browser, clock: browser.clock, connection, heard: () => told.splice(0) };
}

test("one fetch serves all who ask at the same time, and is kept", async () => {
  const { calls, token } = tokenFunction();
  const credentials = new Credentials(token);
  assert.deepEqual(
    await Promise.all([credentials.get(), credentials.get(), credentials.fresh()]),
    Array(3).fill("t.1"),
  );
  assert.equal(await credentials.get(), "t.1");
  assert.equal(calls.count, 1);
  assert.equal(await credentials.fresh(), "t.2");
  assert.equal(await credentials.get(), "t.2");
});

test("only the token in hand can be discarded, and only when another can be had", async () => {
  const { token } = tokenFunction();
  const credentials = new Credentials(token);
  await credentials.get();
  credentials.discard("t.0");
  assert.equal(await credentials.get(), "t.1");
  credentials.discard("t.1");
  assert.equal(await credentials.get(), "t.2");
  const fixed = new Credentials("t.t");
  fixed.discard("t.t");
  assert.equal(await fixed.get(), "t.t");
  assert.equal(await fixed.fresh(), "t.t");
});

test("a failed fetch leaves the token in hand", async () => {
  let fails = false;
  const credentials = new Credentials(() => {
    if (fails) throw new Error("no");
    return "t.1";
  });
  await credentials.get();
  fails = true;
  await assert.rejects(credentials.fresh(), /no/);
  assert.equal(await credentials.get(), "t.1");
});

test("an abandoned fetch changes nothing when it ends", async () => {
  const ends: ((token: string) => void)[] = [];
  const credentials = new Credentials(() => new Promise((resolve) => ends.push(resolve)));
  void credentials.get();
  credentials.abandon();
  const second = credentials.get();
  ends[1]?.("t.2");
  assert.equal(await second, "t.2");
  ends[0]?.("t.1");
  await settle();
  assert.equal(await credentials.get(), "t.2");
});

test("what is no string is refused", async () => {
  for (const value of [undefined, null, 1, {}]) {
    const credentials = new Credentials((() => value) as unknown as () => string);
    await assert.rejects(
      credentials.get(),
      /token\(\) gave (undefined|null|number|object); it must give a string/,
    );
  }
});

test("renews in place before expiry; the answer is no second open", async () => {
  const { token } = tokenFunction();
  const { browser, clock, heard } = connect(token);
  await settle();
  assert.deepEqual(browser.socket.protocols[1], "headrace.token.t.1");
  browser.socket.open({ expires_at: clock.now / 1000 + 40, ping_interval: 3600 });
  await clock.advance(29_999);
  assert.deepEqual(browser.socket.sent, []);
  await clock.advance(8_001);
  assert.deepEqual(browser.socket.sent, [{ type: "renew", token: "t.2" }]);
  browser.socket.open({ expires_at: clock.now / 1000 + 40, ping_interval: 3600 });
  assert.deepEqual(heard(), ["open"]);
  await clock.advance(38_000);
  assert.equal(browser.socket.sent.length, 2);
  assert.equal(browser.sockets.length, 1);
});

test("a renewal that fails is tried again in the life that is left", async () => {
  let calls = 0;
  const { browser, clock, heard } = connect(() => {
    calls += 1;
    if (calls === 2) throw new Error("session over");
    return `t.${calls}`;
  });
  await settle();
  browser.socket.open({ expires_at: clock.now / 1000 + 100, ping_interval: 3600 });
  await clock.advance(95_000);
  assert.deepEqual(heard(), ["open", "error 1006 token() failed: Error: session over"]);
  await clock.advance(4_900);
  assert.deepEqual(browser.socket.sent, [{ type: "renew", token: "t.3" }]);
});

test("a fixed token is not renewed", async () => {
  const browser = new FakeBrowser();
  new Connection(
    {
      url: "https://push.example",
      credentials: new Credentials("t.t"),
      transports: selectTransports(browser.platform, ["websocket"]),
      lastId: null,
    },
    browser.platform,
    { open() {}, message() {}, gap() {}, error() {}, close() {} },
  );
  await settle();
  browser.socket.open({ expires_at: browser.clock.now / 1000 + 100, ping_interval: 3600 });
  await browser.clock.advance(99_000);
  assert.deepEqual(browser.socket.sent, []);
});

test("4002 fetches a fresh token and comes back at once; the next waits", async () => {
  const { token } = tokenFunction();
  const { browser, clock, heard } = connect(token);
  await settle();
  browser.socket.open();
  await clock.advance(20_000);
  browser.socket.end(codes.EXPIRED_TOKEN);
  assert.deepEqual(heard(), ["open", "error 4002 Token+timed+out."]);
  await clock.advance(0);
  assert.deepEqual(browser.socket.protocols[1], "headrace.token.t.2");
  browser.socket.end(codes.EXPIRED_TOKEN);
  assert.ok(clock.untilNext > 0, "an application that gives old tokens is not asked in a loop");
  await clock.advance(2_000);
  assert.deepEqual(browser.socket.protocols[1], "headrace.token.t.3");
});

test("4001 and 4003 are final also with a token function", async () => {
  for (const code of [codes.INVALID_TOKEN, codes.REVOKED_TOKEN]) {
    const { browser, heard } = connect(tokenFunction().token);
    await settle();
    browser.socket.end(code);
    assert.deepEqual(heard().at(-1), `close ${code}`);
  }
});

test("a token function that fails, or takes too long, is asked again", async () => {
  let calls = 0;
  const { browser, clock, heard } = connect(() => {
    calls += 1;
    if (calls === 1) throw new Error("offline");
    if (calls === 2) return new Promise(() => {});
    return `t.${calls}`;
  });
  await settle();
  assert.deepEqual(heard(), ["error 1006 token() failed: Error: offline"]);
  await clock.advance(500);
  assert.equal(calls, 2);
  await clock.advance(30_000);
  assert.deepEqual(heard(), ["error 1006 token() took over 30 s"]);
  await clock.advance(1_000);
  assert.deepEqual(browser.socket.protocols[1], "headrace.token.t.3");
});

test("a connection lost otherwise keeps its token", async () => {
  const { calls, token } = tokenFunction();
  const { browser, clock } = connect(token);
  await settle();
  browser.socket.open();
  browser.socket.end(codes.ABNORMAL);
  await clock.advance(500);
  assert.equal(browser.sockets.length, 2);
  assert.equal(calls.count, 1);
});
