/** WebSocket, then Server-Sent Events, then long poll: over one connection. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeBrowser, settle } from "./fakes.js";
import { connect } from "./recorder.js";

const OPEN = 'event: headrace\ndata: {"type":"open","id":"100-0","recovered":null}\n\n';

test("goes down until one works, and remembers it for the tab", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { connection, heard } = connect(browser);
  await settle();
  browser.socket.end(1006); // a proxy that knows no upgrade
  await clock.advance(clock.untilNext);
  assert.match(browser.request.url, /\/v1\/events$/);
  await browser.request.startStream(); // a proxy that buffers: nothing comes
  await clock.advance(10_000);
  assert.ok(browser.request.isAborted);
  browser.socket.end(1006); // before the next try, anybody must answer
  await clock.advance(500);
  assert.match(browser.request.url, /\/v1\/poll$/);
  await clock.advance(1_000);
  await browser.answerKnocks();
  assert.deepEqual(heard(), [
    "error 1006 connection lost",
    "error 1006 no answer within 10 s",
    "open poll null",
  ]);
  connection.close();
  await settle();

  connect(browser);
  await settle();
  assert.equal(browser.sockets.length, 2, "it begins with what worked");
  assert.match(browser.request.url, /\/v1\/poll$/);
});

test("a server that answers is no reason to go down", async () => {
  for (const code of [4029, 1012, 1011]) {
    const browser = new FakeBrowser();
    connect(browser);
    await settle();
    browser.socket.end(code);
    await browser.clock.advance(4_000);
    assert.ok(browser.sockets.length >= 2, `${code}`);
    assert.equal(browser.requests.length, 0);
  }
});

test("a server that restarts for a while does not cost the WebSocket", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { heard } = connect(browser);
  await settle();
  browser.socket.open();
  browser.socket.end(1006);
  for (let failures = 0; failures < 2; failures++) {
    await clock.advance(clock.untilNext);
    browser.socket.end(1006);
  }
  await clock.advance(clock.untilNext);
  assert.equal(browser.sockets.length, 4);
  browser.socket.open({ recovered: true });
  assert.equal(browser.requests.length, 0);
  assert.equal(heard().at(-1), "open websocket true");
});

test("an outage, however often there seemed to be an answer, does not cost the WebSocket", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { connection, heard } = connect(browser);
  await settle();
  browser.socket.open();
  browser.socket.end(1006);
  await clock.advance(500);
  for (let tries = 0; tries < 10; tries++) {
    await clock.advance(10_000);
    browser.socket.end(1006); // the call
    await clock.advance(500);
  }
  assert.equal(browser.requests.length, 0);
  browser.socket.open({ recovered: true });
  assert.equal(heard().at(-1), "open websocket true");
  await settle();
  assert.ok(browser.knocks.every(({ isAborted }) => isAborted));
  connection.close();
});

test("a network that lets everything but WebSockets through is noticed", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { heard } = connect(browser);
  await settle();
  browser.socket.open();
  browser.socket.end(1006);
  for (let failures = 0; failures < 3; failures++) {
    await clock.advance(clock.untilNext);
    browser.socket.end(1006);
    await settle();
    await browser.answerKnocks();
  }
  await clock.advance(clock.untilNext);
  assert.equal(browser.sockets.length, 4);
  await browser.request.startStream();
  await browser.request.push(OPEN);
  assert.equal(heard().at(-1), "open sse null");
});

test("a full server, which a WebSocket cannot see, is tried from the top again", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  connect(browser);
  await settle();
  browser.socket.end(1006); // really a 503
  await clock.advance(clock.untilNext);
  await browser.request.answer(503, { detail: "full" }, { "retry-after": "2" });
  await clock.advance(clock.untilNext);
  assert.equal(browser.sockets.length, 2);
});

test("ids go along from one transport to the next", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { heard } = connect(browser, { transports: ["sse", "websocket"] });
  await settle();
  await browser.request.startStream();
  await browser.request.push(`${OPEN}id: 101-0\ndata: a\n\n`);
  await browser.request.breakStream();
  for (let failures = 0; failures < 3; failures++) {
    await clock.advance(clock.untilNext);
    await browser.request.fail();
    await browser.answerKnocks();
  }
  await clock.advance(clock.untilNext);
  assert.match(browser.socket.url, /last_id=101-0$/);
  browser.socket.open({ recovered: true });
  browser.socket.message("101-0");
  browser.socket.message("102-0");
  const told = heard().filter((line) => !line.startsWith("error"));
  assert.deepEqual(told, ["open sse null", "101-0 a", "open websocket true", "102-0 data of 102-0"]);
});

test("a browser that lacks a transport does without it", async () => {
  const browser = new FakeBrowser();
  browser.platform.WebSocket = undefined;
  connect(browser);
  await settle();
  assert.match(browser.request.url, /\/v1\/events$/);
  browser.platform.fetch = undefined;
  assert.throws(() => connect(browser), /this browser has none of them/);
});
