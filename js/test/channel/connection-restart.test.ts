/** How a client comes back after a planned restart of the server, which closes with 1012. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../../src/protocol/codes.js";
import type { TransportName } from "../../src/transports/transport.js";
import { FakeBrowser } from "../helpers/fake-browser.js";
import { settle } from "../helpers/manual-clock.js";
import { connect } from "../helpers/recorder.js";
import { openConnection } from "../helpers/websocket-connection.js";

const RESTART = codes.REASONS[codes.RESTART];

/** The delays of many clients, each after `end(browser)`. */
async function delays(end: (browser: FakeBrowser) => void): Promise<number[]> {
  const found = [];
  for (let seed = 0; seed < 200; seed++) {
    const { browser, clock } = await openConnection({ browser: new FakeBrowser(seed) });
    end(browser);
    found.push(clock.untilNext);
  }
  return found;
}

/** Fails unless the delays are spread from `minMs` to below 1 s. */
function assertSpread(minMs: number, found: number[]): void {
  const [least, most] = [Math.min(...found), Math.max(...found)];
  assert.ok(least >= minMs && least < minMs + 50, `${least}`);
  assert.ok(most > 950 && most < 1_000, `${most}`);
}

test("without a delay from the server, clients come back spread over one second", async () => {
  assertSpread(0, await delays(({ socket }) => socket.closeByServer(codes.RESTART)));
  const withFrame = await delays(({ socket }) => {
    socket.sendFrame({ type: "reconnect" });
    socket.closeByServer(codes.RESTART);
  });
  assertSpread(0, withFrame);
});

test("while the new process does not listen, the delays are random, up to 1 s, and do not grow", async () => {
  for (const delayMs of [0, 12_345]) {
    const found: number[] = [];
    for (let seed = 0; seed < 50; seed++) {
      const { browser, clock } = await openConnection({ browser: new FakeBrowser(seed) });
      browser.socket.sendFrame({ type: "reconnect", delay_ms: delayMs });
      browser.socket.closeByServer(codes.RESTART);
      assert.equal(clock.untilNext, delayMs, "the server's delay comes first");
      const endsAt = clock.now + delayMs + 10_000;
      for (;;) {
        await clock.advance(clock.untilNext);
        browser.socket.closeByServer(codes.ABNORMAL);
        if (clock.now >= endsAt) break;
        found.push(clock.untilNext);
      }
      assert.ok(clock.untilNext < 500, "after 10 s the delays grow, from the first one on");
      await clock.advance(clock.untilNext);
      browser.socket.open({ recovered: true });
      browser.socket.closeByServer(codes.ABNORMAL);
      assert.ok(clock.untilNext < 1_000);
    }
    assertSpread(500, found);
  }
});

test("after a connection, the restart is over", async () => {
  const browser = new FakeBrowser();
  browser.platform.random = () => 0.9;
  const { clock } = await openConnection({ browser });
  browser.socket.closeByServer(codes.RESTART);
  assert.equal(clock.untilNext, 900);
  await clock.advance(900);
  browser.socket.open({ recovered: true });
  browser.socket.closeByServer(codes.ABNORMAL);
  assert.equal(clock.untilNext, 450);
});

test("a full server's Retry-After is respected also then", async () => {
  const { browser, clock } = await openStream("sse");
  await browser.request.push(closeEvent(codes.RESTART));
  await clock.advance(clock.untilNext);
  await browser.request.answer(503, { detail: "too many connections" }, { "retry-after": "5" });
  assert.ok(clock.untilNext >= 5_000);
});

const closeEvent = (code: number) =>
  `event: headrace\ndata: {"type":"close","code":${code},"reason":"restart: reconnect"}\n\n`;

/** A connection that has been open over `transport`, which other transports follow. */
async function openStream(transport: TransportName) {
  const browser = new FakeBrowser();
  browser.storage.setItem("headrace.transport https://push.example", transport);
  const { takeEvents } = connect(browser);
  await settle();
  if (transport === "websocket") browser.socket.open();
  if (transport === "sse") {
    await browser.request.startStream();
    await browser.request.push('event: headrace\ndata: {"type":"open","id":"100-0","recovered":null}\n\n');
  }
  if (transport === "poll") {
    await browser.request.answer(200, { messages: [{ id: "101-0", data: "x" }], last_id: "101-0" });
  }
  assert.deepEqual(takeEvents()[0], `open ${transport} null`);
  return { browser, clock: browser.clock, takeEvents };
}

const ENDS: [TransportName, string, (browser: FakeBrowser) => Promise<void> | void][] = [
  ["websocket", "a close frame", ({ socket }) => socket.closeByServer(codes.RESTART)],
  ["sse", "a close event", ({ request }) => request.push(closeEvent(codes.RESTART))],
  ["poll", "the end of a poll", ({ request }) => refuse(request, `the poll was ended: ${RESTART}`)],
  ["poll", "a refused poll", ({ request }) => refuse(request, "the server is shutting down; connect again")],
];

function refuse(request: FakeBrowser["request"], detail: string): Promise<void> {
  return request.answer(503, { detail }, { "retry-after": "5" });
}

for (const [transport, name, end] of ENDS) {
  test(`${transport}: ${name} is a restart, which does not change the transport`, async () => {
    const { browser, clock, takeEvents } = await openStream(transport);
    await end(browser);
    assert.match(takeEvents().at(-1) ?? "", /^error 1012 /);
    const opened = { sockets: browser.sockets.length, requests: browser.requests.length };
    for (let attempts = 1; attempts <= 6; attempts++) {
      assert.ok(clock.untilNext < 1_000);
      await clock.advance(clock.untilNext);
      if (transport === "websocket") browser.socket.closeByServer(codes.ABNORMAL);
      else if (attempts % 2) await refuse(browser.request, "the server is shutting down; connect again");
      else await browser.request.fail();
      await browser.answerProbes();
      const used = transport === "websocket" ? "sockets" : "requests";
      opened[used] += 1;
      assert.deepEqual({ sockets: browser.sockets.length, requests: browser.requests.length }, opened);
    }
  });
}

test("a client that was not connected before the shutdown waits, and starts with the first transport", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  connect(browser);
  await settle();
  browser.socket.closeByServer(codes.ABNORMAL); // in fact a 503
  await clock.advance(clock.untilNext);
  await refuse(browser.request, "the server is shutting down; connect again");
  assert.ok(clock.untilNext >= 5_000);
  await clock.advance(clock.untilNext);
  assert.equal(browser.sockets.length, 2);
});
