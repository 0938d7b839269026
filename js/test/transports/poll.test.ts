import assert from "node:assert/strict";
import { test } from "node:test";
import { pollTransport } from "../../src/transports/poll.js";
import { FakeBrowser } from "../helpers/fake-browser.js";
import type { FakeRequest } from "../helpers/fake-network.js";
import { settle } from "../helpers/manual-clock.js";
import { connect, recordingListener, SERVER_URL, tokenWith } from "../helpers/recorder.js";

const item = (id: string, data = "x") => ({ id, data });

async function poll(lastId: string | null = null, token = "h.p.s") {
  const browser = new FakeBrowser();
  const { connection, takeEvents } = connect(browser, { transports: ["poll"], lastId, token });
  await settle();
  return { browser, clock: browser.clock, connection, takeEvents };
}

test("sends the token in a header", async () => {
  const { browser } = await poll("99-0");
  assert.equal(browser.request.url, "https://push.example/v1/poll?last_id=99-0");
  assert.equal(browser.request.headers.get("authorization"), "Bearer h.p.s");
  assert.equal(browser.request.init.cache, "no-store");
});

test("starts each poll where the last answer ended", async () => {
  const { browser, takeEvents, connection } = await poll();
  await browser.request.answer(200, { messages: [item("101-0"), item("102-0", "y")], last_id: "102-0" });
  assert.deepEqual(takeEvents(), ["open poll null", "101-0 x", "102-0 y"]);
  assert.match(browser.request.url, /\/v1\/poll\?last_id=102-0$/);
  await browser.request.answer(200, {
    messages: [item("102-0"), { ...item("103-0"), group: "g" }],
    last_id: "104-0",
  });
  assert.deepEqual(takeEvents(), ["103-0 x"]);
  assert.match(browser.request.url, /last_id=104-0$/);
  assert.equal(connection.lastId, "104-0");
});

test("a waiting poll counts as open after 1 s, if the server can be reached", async () => {
  const fresh = await poll();
  await fresh.clock.advance(999);
  assert.equal(fresh.browser.probes.length, 0);
  await fresh.clock.advance(1);
  const [probe] = fresh.browser.probes;
  assert.equal(probe?.url, "https://push.example/v1/events");
  assert.equal(probe?.headers.get("authorization"), "Bearer h.p.s");
  await fresh.clock.advance(500);
  assert.deepEqual(fresh.takeEvents(), []);
  await fresh.browser.answerProbes();
  assert.deepEqual(fresh.takeEvents(), ["open poll null"]);
  await fresh.clock.advance(24_000);
  await fresh.browser.request.answer(200, { messages: [], last_id: "100-0" });
  assert.deepEqual(fresh.takeEvents(), []);
  assert.equal(fresh.connection.lastId, "100-0");
  const resumed = await poll("99-0");
  await resumed.clock.advance(1_000);
  await resumed.browser.answerProbes();
  assert.deepEqual(resumed.takeEvents(), ["open poll true"]);
});

test("without a server it never opens", async () => {
  const { browser, clock, takeEvents } = await poll("99-0");
  await clock.advance(60_000);
  assert.deepEqual(takeEvents(), ["error 1006 no answer within 10 s"]);
  assert.ok(browser.probes[0]?.isAborted);
});

test("no probe after a poll that was answered", async () => {
  const { browser, clock } = await poll();
  await browser.request.answer(200, { messages: [item("101-0")], last_id: "101-0" });
  await clock.advance(24_000);
  assert.equal(browser.probes.length, 0);
});

test("reports a loss in the first answer and in a later one", async () => {
  const { browser, takeEvents } = await poll("99-0");
  await browser.request.answer(200, { messages: [item("201-0")], last_id: "201-0", recovered: false });
  assert.deepEqual(takeEvents(), ["open poll false", "gap 99-0 201-0", "201-0 x"]);
  await browser.request.answer(200, { messages: [], last_id: "300-0", recovered: false });
  assert.deepEqual(takeEvents(), ["gap 201-0 300-0"]);
  await browser.clock.advance(1_000);
  await browser.request.answer(200, { messages: [item("5-0")], last_id: "5-0", recovered: false });
  assert.deepEqual(takeEvents(), ["gap 300-0 5-0", "5-0 x"], "the server's ids started again");
});

test("early empty answers do not cause a loop", async () => {
  const { browser, clock } = await poll();
  await browser.request.answer(200, { messages: [], last_id: "100-0" });
  assert.equal(browser.requests.length, 1);
  await clock.advance(999);
  assert.equal(browser.requests.length, 1);
  await clock.advance(1);
  assert.equal(browser.requests.length, 2);
});

test("the open frame has the claims of the token", async () => {
  const browser = new FakeBrowser();
  const transport = pollTransport(browser.platform);
  assert.ok(transport);
  const { listener, takeEvents } = recordingListener();
  const token = tokenWith({ sub: "ann", exp: 1_800_000_000 });
  const connection = transport.connect({ url: SERVER_URL, token, lastId: null, since: null }, listener);
  await browser.clock.advance(1_000);
  await browser.answerProbes();
  assert.deepEqual(takeEvents(), [
    {
      kind: "open",
      session: {
        clientId: "ann",
        id: null,
        recovered: null,
        expiresAt: 1_800_000_000,
        pingIntervalMs: 25_000,
      },
    },
  ]);
  assert.equal(connection.renew, undefined);
});

test("token errors, a full server, and answers that are not from the server", async () => {
  const expired = await poll();
  await expired.browser.request.answer(401, { detail: "Token+timed+out.", code: 4002 });
  assert.deepEqual(expired.takeEvents(), ["fatal 4002 Token+timed+out.", "close 4002"]);

  const full = await poll();
  await full.browser.request.answer(503, { detail: "full" }, { "retry-after": "5" });
  assert.deepEqual(full.takeEvents(), ["error 4029 full"]);
  assert.ok(full.clock.untilNext >= 5_000 && full.clock.untilNext < 9_000);

  const portal = await poll();
  await portal.browser.request.answer(200, "<html>");
  assert.match(portal.takeEvents()[0] ?? "", /^error 1006 SyntaxError/);
  for (const body of ["null", "7", "[]", "{}"]) {
    const odd = await poll();
    await odd.browser.request.answer(200, body);
    assert.deepEqual(odd.takeEvents(), ["open poll null"]);
    await odd.clock.advance(1_000);
    assert.equal(odd.browser.requests.length, 2);
  }
});

test("malformed items are reported, and the others delivered", async () => {
  const { browser, takeEvents } = await poll();
  await browser.request.answer(200, { messages: [null, { id: "x" }, item("101-0")], last_id: "101-0" });
  assert.deepEqual(takeEvents(), [
    "open poll null",
    "error 1002 malformed frame: not an object",
    "error 1002 malformed frame: neither type nor id",
    "101-0 x",
  ]);
});

test("a later poll that fails is a lost connection, which resumes", async () => {
  const { browser, clock, takeEvents } = await poll();
  await browser.request.answer(200, { messages: [item("101-0")], last_id: "101-0" });
  await browser.request.fail();
  assert.deepEqual(takeEvents().at(-1), "error 1006 TypeError: Failed to fetch");
  await clock.advance(500);
  assert.match(browser.request.url, /last_id=101-0$/);
});

const FROM_90 = tokenWith({ sub: "ann", pos: "90-0" });

test("after an incomplete answer the next poll names the same start", async () => {
  const { browser, clock } = await poll(null, FROM_90);
  await browser.request.startStream("application/json");
  await browser.request.push('{"messages":[{"id":"91-0",');
  await browser.request.breakStream();
  await clock.advance(500);
  assert.match(browser.request.url, /\/v1\/poll\?since=90-0$/);
});

test("after a waiting poll was lost or timed out, the next one names the same start", async () => {
  for (const end of ["lost", "silent", "online"]) {
    const { browser, clock } = await poll(null, FROM_90);
    await clock.advance(1_000);
    await browser.answerProbes();
    if (end === "lost") await browser.request.fail();
    else if (end === "online") await browser.goOnline();
    await clock.advance(end === "silent" ? 50_500 : 500);
    assert.match(browser.requests[1]?.url ?? "", /since=90-0$/, end);
  }
});

test("after a refused poll the server chooses the start", async () => {
  for (const refuse of [
    (request: FakeRequest) => request.answer(503, { detail: "full" }),
    (request: FakeRequest) => request.answer(429, { detail: "too much" }),
  ]) {
    const { browser, clock } = await poll(null, FROM_90);
    await refuse(browser.request);
    await clock.advance(4_000);
    assert.match(browser.requests[1]?.url ?? "", /\/v1\/poll$/);
  }
});

test("a renewal during the first poll keeps the start of the old token", async () => {
  const browser = new FakeBrowser();
  let count = 0;
  const exp = browser.clock.now / 1000 + 20;
  const token = () => tokenWith({ sub: "ann", exp, pos: `9${count++}-0` });
  connect(browser, { transports: ["poll"], token });
  await browser.clock.advance(1_000);
  await browser.answerProbes();
  await browser.clock.advance(18_500);
  assert.equal(count, 2);
  assert.match(browser.request.url, /since=90-0$/);
});

test("a poll without an answer ends after two ping intervals", async () => {
  const { browser, clock, takeEvents } = await poll();
  await clock.advance(1_000);
  await browser.answerProbes();
  await clock.advance(50_000);
  assert.deepEqual(takeEvents(), ["open poll null", "error 1006 nothing received for 50 s"]);
});

test("close() aborts the poll and leaves no timer", async () => {
  const { browser, clock, connection, takeEvents } = await poll();
  connection.close();
  await settle();
  assert.ok(browser.request.isAborted);
  assert.equal(clock.timers.size, 0);
  await clock.advance(60_000);
  assert.deepEqual(takeEvents(), ["close 1000"]);
  assert.equal(browser.requests.length, 1);
});
