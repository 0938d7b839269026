import assert from "node:assert/strict";
import { test } from "node:test";
import { Caller } from "../src/reach.js";
import { FakeBrowser, FakeOrigin, settle } from "./fakes.js";
import { URL } from "./recorder.js";

function call(browser = new FakeBrowser(), url = URL) {
  let heard = 0;
  const caller = new Caller(browser.platform, url, () => {
    heard += 1;
  });
  return { browser, clock: browser.clock, caller, heard: () => heard };
}

test("calls by turns as a WebSocket without a token and over HTTP, one call at a time", async () => {
  const { browser, clock, heard } = call();
  for (let turns = 1; turns <= 5; turns++) {
    assert.equal(browser.sockets.length, turns);
    assert.equal(browser.socket.url, "wss://push.example/v1/connect");
    assert.deepEqual(browser.socket.protocols, ["headrace.v1"]);
    assert.equal(browser.knocks.length, turns - 1);
    await clock.advance(11_000);
    assert.equal(browser.socket.closedWith, 1000);
    assert.equal(browser.knocks.length, turns);
    const knock = browser.knocks.at(-1);
    assert.equal(knock?.url, "https://push.example/healthz");
    assert.equal(knock?.init.mode, "no-cors");
    await clock.advance(11_000);
    assert.ok(knock?.isAborted);
  }
  assert.equal(heard(), 0);
});

test("any answer will do, and is heard once", async () => {
  for (const code of [1006, 4001, 1012]) {
    const { browser, clock, heard } = call();
    browser.socket.end(code);
    assert.equal(heard(), 1);
    browser.socket.end(code);
    await clock.advance(60_000);
    assert.equal(heard(), 1);
    assert.equal(clock.timers.size, 0);
  }
  const { browser, clock, heard } = call();
  await clock.advance(11_000);
  await browser.knocks[0]?.answer(404);
  assert.equal(heard(), 1);
  assert.equal(clock.timers.size, 0);
});

test("a request that fails says nothing: it may be the kernel that gives up", async () => {
  const { browser, clock, heard } = call();
  await clock.advance(11_000);
  await browser.knocks[0]?.fail();
  assert.equal(heard(), 0);
  await clock.advance(11_000);
  assert.equal(browser.sockets.length, 2);
});

test("after two minutes of calls it is to be tried all the same", async () => {
  const { clock, heard } = call();
  await clock.advance(131_999);
  assert.equal(heard(), 0);
  await clock.advance(1);
  assert.equal(heard(), 1);
  assert.equal(clock.timers.size, 0);
});

test("takes the connections that the transports do not: without cookies at the page's own origin", async () => {
  const own = call(new FakeBrowser(), "https://app.example/base");
  await own.clock.advance(11_000);
  assert.equal(own.browser.knocks[0]?.init.credentials, "omit");
  const other = call();
  await other.clock.advance(11_000);
  assert.equal(other.browser.knocks[0]?.init.credentials, "include");
});

test("does with one way, or none, where the browser lacks the other", async () => {
  const forbidden = class {
    constructor() {
      throw new DOMException("blocked", "SecurityError");
    }
  };
  for (const WebSocket of [undefined, forbidden]) {
    const browser = new FakeBrowser();
    browser.platform.WebSocket = WebSocket as unknown as typeof browser.platform.WebSocket;
    call(browser);
    assert.equal(browser.knocks.length, 1);
  }
  const browser = new FakeBrowser();
  browser.platform.fetch = undefined;
  const { clock, heard } = call(browser);
  await clock.advance(22_000);
  assert.equal(browser.sockets.length, 2);
  browser.socket.end(1006);
  assert.equal(heard(), 1);
});

test("what one tab hears, all tabs hear that call the same server", async () => {
  const origin = new FakeOrigin();
  const tabs = [1, 2, 3].map((seed) => call(new FakeBrowser(seed, origin)));
  const elsewhere = call(new FakeBrowser(4, origin), "https://other.example");
  tabs[1]?.browser.socket.end(4001);
  await settle();
  assert.deepEqual(
    tabs.map(({ heard }) => heard()),
    [1, 1, 1],
  );
  for (const { browser, clock } of tabs) {
    assert.equal(browser.sockets.length, 1);
    assert.equal(clock.timers.size, 0);
  }
  assert.equal(elsewhere.heard(), 0);
  elsewhere.caller.close();
  assert.equal(elsewhere.browser.socket.closedWith, 1000);
  assert.equal(origin.listening, 0);
});

test("a page that may not broadcast calls for itself", async () => {
  const browser = new FakeBrowser(1, new FakeOrigin());
  browser.platform.BroadcastChannel = (() => {
    throw new DOMException("no origin", "SecurityError");
  }) as unknown as typeof BroadcastChannel;
  const { heard } = call(browser);
  browser.socket.end(4001);
  assert.equal(heard(), 1);
});
