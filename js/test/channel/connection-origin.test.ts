/** A page of an origin that the server refuses: the client finds out, and reports it once. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeBrowser } from "../helpers/fake-browser.js";
import { settle } from "../helpers/manual-clock.js";
import { connect } from "../helpers/recorder.js";

const REFUSED = "error 1006 the server refuses pages of https://app.example: add it to allowed_origins";

/** What the server, or a proxy, does with the probes. */
interface Probes {
  script(probe: FakeBrowser["request"]): Promise<void>;
  events(probe: FakeBrowser["request"]): Promise<void>;
}
const REFUSING: Probes = { script: (probe) => probe.answer(200), events: (probe) => probe.fail() };

async function settleProbes(browser: FakeBrowser, probes: Probes): Promise<void> {
  for (let probe = browser.probes.shift(); probe; probe = browser.probes.shift()) {
    await (probe.url.endsWith("/headrace.js") ? probes.script(probe) : probes.events(probe));
  }
}

/** A connection whose first `attempts` attempts failed; `probes` answers the probes of each. */
async function failing(attempts: number, probes: Probes) {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const connected = connect(browser, { transports: ["websocket"] });
  await settle();
  for (let i = 0; i < attempts; i++) {
    if (i) await clock.advance(clock.untilNext);
    browser.socket.closeByServer(1006);
    await settleProbes(browser, probes);
  }
  return { browser, clock, ...connected };
}

test("a refusal is reported once, and the client tries again", async () => {
  const { browser, clock, takeEvents } = await failing(3, REFUSING);
  const lost = "error 1006 connection lost";
  assert.deepEqual(takeEvents(), [lost, REFUSED, lost, lost]);
  await clock.advance(clock.untilNext);
  browser.socket.open(); // the setting was changed
  assert.deepEqual(takeEvents(), ["open websocket null"]);
});

test("the probe of the script needs no permission, and the other one does", async () => {
  const { browser } = await failing(0, REFUSING);
  browser.socket.closeByServer(1006);
  const [script] = browser.probes;
  assert.equal(script?.url, "https://push.example/headrace.js");
  assert.equal(script?.init.headers, undefined);
  await script?.answer(200);
  assert.equal(browser.probes[1]?.url, "https://push.example/v1/events");
  assert.equal(browser.probes[1]?.headers.get("authorization"), "Bearer h.p.s");
});

const OTHER_CAUSES: [string, Probes][] = [
  ["the server cannot be reached", { ...REFUSING, script: (probe) => probe.fail() }],
  ["a proxy answers for a server that is down", { ...REFUSING, script: (probe) => probe.answer(502) }],
  ["the server accepts the origin", { ...REFUSING, events: (probe) => probe.answer(503) }],
];
for (const [cause, probes] of OTHER_CAUSES) {
  test(`no refusal is reported if ${cause}`, async () => {
    const { takeEvents } = await failing(5, probes);
    assert.ok(takeEvents().every((event) => event === "error 1006 connection lost"));
  });
}

test("a refusal is found also if the server was down at first", async () => {
  const { browser, clock, takeEvents } = await failing(2, { ...REFUSING, script: (probe) => probe.fail() });
  takeEvents();
  await clock.advance(clock.untilNext);
  browser.socket.closeByServer(1006);
  await settleProbes(browser, REFUSING);
  assert.deepEqual(takeEvents(), ["error 1006 connection lost", REFUSED]);
});

test("no probes after a connection, and no report after close()", async () => {
  const open = await failing(0, REFUSING);
  open.browser.socket.open();
  open.browser.socket.closeByServer(1006);
  await open.clock.advance(open.clock.untilNext);
  open.browser.socket.closeByServer(1006);
  await settle();
  assert.equal(open.browser.probes.length, 0);

  const closed = await failing(0, REFUSING);
  closed.browser.socket.closeByServer(1006);
  closed.connection.close();
  await settleProbes(closed.browser, REFUSING);
  assert.deepEqual(closed.takeEvents(), ["error 1006 connection lost", "close 1000"]);
});

test("a browser without fetch() reports nothing", async () => {
  const { browser, clock, takeEvents } = await failing(0, REFUSING);
  browser.platform.fetch = undefined;
  browser.socket.closeByServer(1006);
  await clock.advance(500);
  assert.deepEqual(takeEvents(), ["error 1006 connection lost"]);
});
