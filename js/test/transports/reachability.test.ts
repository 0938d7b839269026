import assert from "node:assert/strict";
import { test } from "node:test";
import { ReachabilityMonitor } from "../../src/transports/reachability.js";
import { FakeBrowser, FakeOrigin } from "../helpers/fake-browser.js";
import { settle } from "../helpers/manual-clock.js";
import { SERVER_URL } from "../helpers/recorder.js";

function startMonitor(browser = new FakeBrowser(), url = SERVER_URL) {
  let calls = 0;
  const monitor = new ReachabilityMonitor(browser.platform, url, () => {
    calls += 1;
  });
  return { browser, clock: browser.clock, monitor, reachableCalls: () => calls };
}

test("probes alternate between WebSocket, without a token, and HTTP, one at a time", async () => {
  const { browser, clock, reachableCalls } = startMonitor();
  for (let round = 1; round <= 5; round++) {
    assert.equal(browser.sockets.length, round);
    assert.equal(browser.socket.url, "wss://push.example/v1/connect");
    assert.deepEqual(browser.socket.protocols, ["headrace.v1"]);
    assert.equal(browser.probes.length, round - 1);
    await clock.advance(11_000);
    assert.equal(browser.socket.closedWith, 1000);
    assert.equal(browser.probes.length, round);
    const probe = browser.probes.at(-1);
    assert.equal(probe?.url, "https://push.example/healthz");
    assert.equal(probe?.init.mode, "no-cors");
    await clock.advance(11_000);
    assert.ok(probe?.isAborted);
  }
  assert.equal(reachableCalls(), 0);
});

test("any answer counts, and is reported once", async () => {
  for (const code of [1006, 4001, 1012]) {
    const { browser, clock, reachableCalls } = startMonitor();
    browser.socket.closeByServer(code);
    assert.equal(reachableCalls(), 1);
    browser.socket.closeByServer(code);
    await clock.advance(60_000);
    assert.equal(reachableCalls(), 1);
    assert.equal(clock.timers.size, 0);
  }
  const { browser, clock, reachableCalls } = startMonitor();
  await clock.advance(11_000);
  await browser.probes[0]?.answer(404);
  assert.equal(reachableCalls(), 1);
  assert.equal(clock.timers.size, 0);
});

test("a failed request is not an answer: the kernel may have given up", async () => {
  const { browser, clock, reachableCalls } = startMonitor();
  await clock.advance(11_000);
  await browser.probes[0]?.fail();
  assert.equal(reachableCalls(), 0);
  await clock.advance(11_000);
  assert.equal(browser.sockets.length, 2);
});

test("reports after two minutes even without an answer", async () => {
  const { clock, reachableCalls } = startMonitor();
  await clock.advance(131_999);
  assert.equal(reachableCalls(), 0);
  await clock.advance(1);
  assert.equal(reachableCalls(), 1);
  assert.equal(clock.timers.size, 0);
});

test("uses other connections than the transports: no cookies at the page's own origin", async () => {
  const own = startMonitor(new FakeBrowser(), "https://app.example/base");
  await own.clock.advance(11_000);
  assert.equal(own.browser.probes[0]?.init.credentials, "omit");
  const other = startMonitor();
  await other.clock.advance(11_000);
  assert.equal(other.browser.probes[0]?.init.credentials, "include");
});

test("uses the other kind of probe if the browser lacks one", async () => {
  const forbidden = class {
    constructor() {
      throw new DOMException("blocked", "SecurityError");
    }
  };
  for (const WebSocket of [undefined, forbidden]) {
    const browser = new FakeBrowser();
    browser.platform.WebSocket = WebSocket as unknown as typeof browser.platform.WebSocket;
    startMonitor(browser);
    assert.equal(browser.probes.length, 1);
  }
  const browser = new FakeBrowser();
  browser.platform.fetch = undefined;
  const { clock, reachableCalls } = startMonitor(browser);
  await clock.advance(22_000);
  assert.equal(browser.sockets.length, 2);
  browser.socket.closeByServer(1006);
  assert.equal(reachableCalls(), 1);
});

test("an answer in one tab is reported to all tabs that probe the same server", async () => {
  const origin = new FakeOrigin();
  const tabs = [1, 2, 3].map((seed) => startMonitor(new FakeBrowser(seed, origin)));
  const elsewhere = startMonitor(new FakeBrowser(4, origin), "https://other.example");
  tabs[1]?.browser.socket.closeByServer(4001);
  await settle();
  assert.deepEqual(
    tabs.map(({ reachableCalls }) => reachableCalls()),
    [1, 1, 1],
  );
  for (const { browser, clock } of tabs) {
    assert.equal(browser.sockets.length, 1);
    assert.equal(clock.timers.size, 0);
  }
  assert.equal(elsewhere.reachableCalls(), 0);
  elsewhere.monitor.close();
  assert.equal(elsewhere.browser.socket.closedWith, 1000);
  assert.equal(origin.listening, 0);
});

test("a page without BroadcastChannel probes by itself", async () => {
  const browser = new FakeBrowser(1, new FakeOrigin());
  browser.platform.BroadcastChannel = (() => {
    throw new DOMException("no origin", "SecurityError");
  }) as unknown as typeof BroadcastChannel;
  const { reachableCalls } = startMonitor(browser);
  browser.socket.closeByServer(4001);
  assert.equal(reachableCalls(), 1);
});
