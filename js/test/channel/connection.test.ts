import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../../src/protocol/codes.js";
import { settle } from "../helpers/manual-clock.js";
import { connect, openConnection } from "../helpers/websocket-connection.js";

test("sends the token as a subprotocol, and reports nothing before the open frame", async () => {
  const { connection, browser, takeEvents } = connect();
  assert.equal(browser.sockets.length, 0, "no connection inside the constructor");
  await settle();
  assert.equal(browser.socket.url, "wss://push.example/v1/connect");
  assert.deepEqual(browser.socket.protocols, ["headrace.v1", "headrace.token.h.p.s"]);
  assert.ok(!connection.isOpen);
  assert.deepEqual(takeEvents(), []);
  browser.socket.open();
  assert.ok(connection.isOpen);
  assert.deepEqual(takeEvents(), [["open", null]]);
});

test("delivers messages in order and drops duplicates", async () => {
  const { browser, connection, takeEvents } = await openConnection();
  for (const id of ["101-0", "101-1", "101-1", "101-0", "102-0", "101-9", "102-10", "102-9"])
    browser.socket.message(id);
  assert.deepEqual(
    takeEvents().map(([, id]) => id),
    ["101-0", "101-1", "102-0", "102-10"],
  );
  assert.equal(connection.lastId, "102-10");
});

test("reports gaps of a slow consumer", async () => {
  const { browser, takeEvents } = await openConnection();
  browser.socket.sendFrame({ type: "gap", after: "101-0", before: "105-0" });
  assert.deepEqual(takeEvents(), [["gap", "101-0", "105-0"]]);
});

test("malformed frames are reported and the connection stays open; unknown frames are ignored", async () => {
  const { browser, connection, takeEvents } = await openConnection();
  for (const raw of ["{", "{}", '{"id":"x","data":"y"}', new ArrayBuffer(2)]) browser.socket.sendRaw(raw);
  assert.deepEqual(
    takeEvents().map(([name, code, , fatal]) => [name, code, fatal]),
    Array(4).fill(["error", codes.PROTOCOL_ERROR, false]),
  );
  browser.socket.sendFrame({ type: "sent", ref: 1 });
  browser.socket.message("101-0");
  assert.deepEqual(takeEvents(), [["message", "101-0"]]);
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
      const { browser, clock, takeEvents, connection } =
        when === "after" ? await openConnection() : connect();
      await settle();
      browser.socket.closeByServer(code, "said by the server");
      assert.deepEqual(takeEvents(), [
        ["error", code, description.includes("+") ? description : "said by the server", true],
        ["close", code, "said by the server"],
      ]);
      await clock.advance(3_600_000);
      await browser.goOnline();
      assert.equal(browser.sockets.length, 1);
      assert.equal(clock.timers.size, 0, "no timer is left");
      assert.equal(browser.listening, 0, "no listener is left");
      connection.close();
      await settle();
      assert.deepEqual(takeEvents(), [], "onClose is called once");
    });
  }
}

test("every final code is tested here", () => {
  assert.deepEqual([codes.NORMAL, ...FINAL.map(([code]) => code)].sort(), [...codes.FINAL].sort());
});

test("1000 from the server is final without an error", async () => {
  const { browser, takeEvents } = await openConnection();
  browser.socket.closeByServer(codes.NORMAL);
  assert.deepEqual(takeEvents(), [["close", codes.NORMAL, "normal"]]);
});

for (const token of ["", "not a token", "h.p.s\n", "tök.en", "a,b", "."]) {
  test(`the token ${JSON.stringify(token)} fails without a connection`, async () => {
    const { browser, takeEvents } = connect({ token });
    assert.deepEqual(takeEvents(), [], "not inside the constructor");
    await settle();
    assert.deepEqual(takeEvents(), [
      ["error", codes.INVALID_TOKEN, "Invalid+token.", true],
      ["close", codes.INVALID_TOKEN, "not a JWT"],
    ]);
    assert.equal(browser.sockets.length, 0);
  });
}

test("close() reports onClose once, a moment later", async () => {
  const { browser, clock, connection, takeEvents } = await openConnection();
  connection.close();
  connection.close();
  assert.deepEqual(takeEvents(), [], "not inside close()");
  assert.equal(browser.socket.closedWith, codes.NORMAL);
  await settle();
  assert.deepEqual(takeEvents(), [["close", codes.NORMAL, "normal"]]);
  browser.socket.message("101-0");
  assert.deepEqual(takeEvents(), []);
  assert.equal(clock.timers.size, 0);
  assert.equal(browser.listening, 0);
});

test("close() while connecting and while waiting", async () => {
  for (const waits of [false, true]) {
    const { browser, clock, connection, takeEvents } = connect();
    await settle();
    if (waits) browser.socket.closeByServer(codes.ABNORMAL);
    takeEvents();
    connection.close();
    await clock.advance(60_000);
    assert.deepEqual(takeEvents(), [["close", codes.NORMAL, "normal"]]);
    assert.equal(browser.sockets.length, 1);
  }
});

test("close() while the token is being fetched", async () => {
  const { browser, connection, takeEvents } = connect({ token: async () => "h.p.s" });
  connection.close();
  await settle();
  assert.deepEqual(takeEvents(), [["close", codes.NORMAL, "normal"]]);
  assert.equal(browser.sockets.length, 0);
});
