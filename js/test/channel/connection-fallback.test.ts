/** Fallback from WebSocket to Server-Sent Events to long polling. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeBrowser } from "../helpers/fake-browser.js";
import { settle } from "../helpers/manual-clock.js";
import { connect } from "../helpers/recorder.js";

const OPEN = 'event: headrace\ndata: {"type":"open","id":"100-0","recovered":null}\n\n';

test("tries the next transport until one works, and stores it for the tab", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { connection, takeEvents } = connect(browser);
  await settle();
  browser.socket.closeByServer(1006); // a proxy without WebSocket support
  await clock.advance(clock.untilNext);
  assert.match(browser.request.url, /\/v1\/events$/);
  await browser.request.startStream(); // a proxy that buffers: no data arrives
  await clock.advance(10_000);
  assert.ok(browser.request.isAborted);
  browser.socket.closeByServer(1006); // the reachability probe is answered
  await clock.advance(500);
  assert.match(browser.request.url, /\/v1\/poll$/);
  await clock.advance(1_000);
  await browser.answerProbes();
  assert.deepEqual(takeEvents(), [
    "error 1006 connection lost",
    "error 1006 no answer within 10 s",
    "open poll null",
  ]);
  connection.close();
  await settle();

  connect(browser);
  await settle();
  assert.equal(browser.sockets.length, 2, "it starts with the transport that worked");
  assert.match(browser.request.url, /\/v1\/poll$/);
});

test("a server that answers is no reason to change the transport", async () => {
  for (const code of [4029, 1012, 1011]) {
    const browser = new FakeBrowser();
    connect(browser);
    await settle();
    browser.socket.closeByServer(code);
    await browser.clock.advance(4_000);
    assert.ok(browser.sockets.length >= 2, `${code}`);
    assert.equal(browser.requests.length, 0);
  }
});

test("a short server restart does not change the transport", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { takeEvents } = connect(browser);
  await settle();
  browser.socket.open();
  browser.socket.closeByServer(1006);
  for (let failures = 0; failures < 2; failures++) {
    await clock.advance(clock.untilNext);
    browser.socket.closeByServer(1006);
  }
  await clock.advance(clock.untilNext);
  assert.equal(browser.sockets.length, 4);
  browser.socket.open({ recovered: true });
  assert.equal(browser.requests.length, 0);
  assert.equal(takeEvents().at(-1), "open websocket true");
});

test("an outage does not change the transport, even if probes seem to be answered", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { connection, takeEvents } = connect(browser);
  await settle();
  browser.socket.open();
  browser.socket.closeByServer(1006);
  await clock.advance(500);
  for (let attempts = 0; attempts < 10; attempts++) {
    await clock.advance(10_000);
    browser.socket.closeByServer(1006); // the reachability probe
    await clock.advance(500);
  }
  assert.equal(browser.requests.length, 0);
  browser.socket.open({ recovered: true });
  assert.equal(takeEvents().at(-1), "open websocket true");
  await settle();
  assert.ok(browser.probes.every(({ isAborted }) => isAborted));
  connection.close();
});

test("a network that blocks only WebSockets is detected", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { takeEvents } = connect(browser);
  await settle();
  browser.socket.open();
  browser.socket.closeByServer(1006);
  for (let failures = 0; failures < 3; failures++) {
    await clock.advance(clock.untilNext);
    browser.socket.closeByServer(1006);
    await settle();
    await browser.answerProbes();
  }
  await clock.advance(clock.untilNext);
  assert.equal(browser.sockets.length, 4);
  await browser.request.startStream();
  await browser.request.push(OPEN);
  assert.equal(takeEvents().at(-1), "open sse null");
});

test("a full server, which a WebSocket cannot detect, is tried again from the first transport", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  connect(browser);
  await settle();
  browser.socket.closeByServer(1006); // in fact a 503
  await clock.advance(clock.untilNext);
  await browser.request.answer(503, { detail: "full" }, { "retry-after": "2" });
  await clock.advance(clock.untilNext);
  assert.equal(browser.sockets.length, 2);
});

test("the next transport resumes from the last id of the previous one", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { takeEvents } = connect(browser, { transports: ["sse", "websocket"] });
  await settle();
  await browser.request.startStream();
  await browser.request.push(`${OPEN}id: 101-0\ndata: a\n\n`);
  await browser.request.breakStream();
  for (let failures = 0; failures < 3; failures++) {
    await clock.advance(clock.untilNext);
    await browser.request.fail();
    await browser.answerProbes();
  }
  await clock.advance(clock.untilNext);
  assert.match(browser.socket.url, /last_id=101-0$/);
  browser.socket.open({ recovered: true });
  browser.socket.message("101-0");
  browser.socket.message("102-0");
  const events = takeEvents().filter((line) => !line.startsWith("error"));
  assert.deepEqual(events, ["open sse null", "101-0 a", "open websocket true", "102-0 data of 102-0"]);
});

test("a transport that the browser lacks is skipped", async () => {
  const browser = new FakeBrowser();
  browser.platform.WebSocket = undefined;
  connect(browser);
  await settle();
  assert.match(browser.request.url, /\/v1\/events$/);
  browser.platform.fetch = undefined;
  assert.throws(() => connect(browser), /this browser has none of them/);
});
