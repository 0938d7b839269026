/** Which position the next connection resumes from. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../../src/protocol/codes.js";
import { settle } from "../helpers/manual-clock.js";
import { tokenWith } from "../helpers/recorder.js";
import { connect, openConnection } from "../helpers/websocket-connection.js";

test("resumes after the last message, and drops repeated messages", async () => {
  const { browser, clock, takeEvents } = await openConnection();
  browser.socket.message("101-0");
  browser.socket.closeByServer(codes.ABNORMAL);
  await clock.advance(500);
  assert.equal(browser.sockets.length, 2);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=101-0");
  browser.socket.open({ recovered: true, id: "101-0" });
  browser.socket.message("101-0");
  browser.socket.message("101-1");
  assert.deepEqual(takeEvents(), [
    ["message", "101-0"],
    ["error", codes.ABNORMAL, "connection lost", false],
    ["open", true],
    ["message", "101-1"],
  ]);
});

test("resumes from its start if no message arrived", async () => {
  const { browser, clock } = await openConnection();
  browser.socket.closeByServer(codes.ABNORMAL);
  await clock.advance(500);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=100-0");
});

test("resumes from an id given by the page", async () => {
  const { browser, takeEvents } = connect({ lastId: "99-0" });
  await settle();
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=99-0");
  browser.socket.open({ recovered: true, id: "99-0" });
  browser.socket.message("99-0");
  browser.socket.message("99-1");
  assert.deepEqual(takeEvents(), [
    ["open", true],
    ["message", "99-1"],
  ]);
});

test("the id of a ping moves the resume position but not the duplicate check", async () => {
  const { browser, connection, takeEvents } = await openConnection();
  browser.socket.sendFrame({ type: "ping", id: "150-0" });
  assert.equal(connection.lastId, "150-0");
  browser.socket.message("151-0");
  assert.deepEqual(takeEvents(), [["message", "151-0"]]);
});

test("messages after the first open frame may have lower ids than the frame", async () => {
  const { browser, takeEvents } = await openConnection();
  browser.socket.message("90-0");
  assert.deepEqual(takeEvents(), [["message", "90-0"]]);
});

test("reports a gap if the server could not recover", async () => {
  const { browser, clock, takeEvents } = await openConnection();
  browser.socket.message("101-0");
  browser.socket.closeByServer(codes.ABNORMAL);
  await clock.advance(500);
  takeEvents();
  browser.socket.open({ recovered: false, id: "200-0" });
  assert.deepEqual(takeEvents(), [
    ["open", false],
    ["gap", "101-0", "200-0"],
  ]);
  browser.socket.message("201-0");
  assert.deepEqual(takeEvents(), [["message", "201-0"]]);
});

test("a loss is reported once, even if no message arrives before the next connection", async () => {
  const { browser, clock, takeEvents } = await openConnection();
  browser.socket.message("101-0");
  browser.socket.closeByServer(codes.ABNORMAL);
  await clock.advance(500);
  browser.socket.open({ recovered: false, id: "200-0" });
  browser.socket.closeByServer(codes.ABNORMAL);
  await clock.advance(1_000);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=200-0");
  browser.socket.open({ recovered: true, id: "200-0" });
  assert.equal(takeEvents().filter(([name]) => name === "gap").length, 1);
});

/** A first connection with this token starts at 90-0. */
const FROM_90 = tokenWith({ sub: "ann", pos: "90-0" });

test("after a connection that was lost before it opened, the next one names the same start", async () => {
  const { browser, clock, connection, takeEvents } = connect({ token: FROM_90 });
  await settle();
  assert.equal(browser.socket.url, "wss://push.example/v1/connect");
  browser.socket.closeByServer(codes.ABNORMAL);
  await clock.advance(500);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?since=90-0");
  assert.equal(connection.lastId, null);
  browser.socket.open({ recovered: null, id: "90-0" });
  browser.socket.message("91-0");
  assert.deepEqual(
    takeEvents().map(([name]) => name),
    ["error", "open", "message"],
  );
  browser.socket.closeByServer(codes.ABNORMAL);
  await clock.advance(500);
  assert.equal(browser.socket.url, "wss://push.example/v1/connect?last_id=91-0");
});

test("after a refusal the server chooses the start: it may know where an earlier page stopped", async () => {
  for (const code of [codes.RESTART, codes.TOO_MANY_CONNECTIONS, codes.EXPIRED_TOKEN]) {
    const { browser, clock, connection } = connect({ token: async () => FROM_90 });
    await settle();
    browser.socket.closeByServer(code);
    await clock.advance(4_000);
    assert.equal(browser.sockets[1]?.url, "wss://push.example/v1/connect", `${code}`);
    assert.equal(connection.lastId, null);
  }
});

test("the start is that of the token in use at the time, not of a later one", async () => {
  let count = 0;
  const token = () => tokenWith({ sub: "ann", pos: `9${count++}-0` });
  const { browser, clock } = connect({ token });
  await settle();
  browser.socket.closeByServer(codes.EXPIRED_TOKEN);
  await clock.advance(0);
  browser.socket.closeByServer(codes.ABNORMAL);
  await clock.advance(2_000);
  assert.match(browser.socket.url, /since=91-0$/);
  browser.socket.closeByServer(codes.EXPIRED_TOKEN);
  await clock.advance(4_000);
  assert.equal(count, 3);
  assert.match(browser.socket.url, /since=91-0$/);
});

test("an attempt without an answer may have started a session", async () => {
  for (const wait of ["timeout", "online"]) {
    const { browser, clock } = connect({ token: FROM_90 });
    await settle();
    if (wait === "timeout") {
      await clock.advance(10_000);
      browser.socket.closeByServer(codes.INVALID_TOKEN); // the reachability probe
      await clock.advance(500);
    } else await browser.goOnline();
    assert.match(browser.socket.url, /\/v1\/connect\?since=90-0$/);
  }
});

test("accepts lower ids after the server's ids started again", async () => {
  const { browser, clock, connection, takeEvents } = await openConnection();
  browser.socket.message("500-0");
  browser.socket.closeByServer(codes.ABNORMAL);
  await clock.advance(500);
  browser.socket.open({ recovered: false, id: "3-0" });
  takeEvents();
  assert.equal(connection.lastId, "3-0");
  browser.socket.message("4-0");
  assert.deepEqual(takeEvents(), [["message", "4-0"]]);
});
