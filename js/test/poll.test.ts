import assert from "node:assert/strict";
import { test } from "node:test";
import { pollTransport } from "../src/poll.js";
import { FakeBrowser, type FakeRequest, settle } from "./fakes.js";
import { connect, recordingSink, tokenWith, URL } from "./recorder.js";

const item = (id: string, data = "x") => ({ id, data });

async function poll(lastId: string | null = null, token = "h.p.s") {
  const browser = new FakeBrowser();
  const { connection, heard } = connect(browser, { transports: ["poll"], lastId, token });
  await settle();
  return { browser, clock: browser.clock, connection, heard };
}

test("asks with the token in a header", async () => {
  const { browser } = await poll("99-0");
  assert.equal(browser.request.url, "https://push.example/v1/poll?last_id=99-0");
  assert.equal(browser.request.headers.get("authorization"), "Bearer h.p.s");
  assert.equal(browser.request.init.cache, "no-store");
});

test("goes on from where the last answer ended", async () => {
  const { browser, heard, connection } = await poll();
  await browser.request.answer(200, { messages: [item("101-0"), item("102-0", "y")], last_id: "102-0" });
  assert.deepEqual(heard(), ["open poll null", "101-0 x", "102-0 y"]);
  assert.match(browser.request.url, /\/v1\/poll\?last_id=102-0$/);
  await browser.request.answer(200, {
    messages: [item("102-0"), { ...item("103-0"), group: "g" }],
    last_id: "104-0",
  });
  assert.deepEqual(heard(), ["103-0 x"]);
  assert.match(browser.request.url, /last_id=104-0$/);
  assert.equal(connection.lastId, "104-0");
});

test("a poll that waits counts as open after a second, if the server can be reached", async () => {
  const fresh = await poll();
  await fresh.clock.advance(999);
  assert.equal(fresh.browser.knocks.length, 0);
  await fresh.clock.advance(1);
  const [knock] = fresh.browser.knocks;
  assert.equal(knock?.url, "https://push.example/v1/events");
  assert.equal(knock?.headers.get("authorization"), "Bearer h.p.s");
  await fresh.clock.advance(500);
  assert.deepEqual(fresh.heard(), []);
  await fresh.browser.answerKnocks();
  assert.deepEqual(fresh.heard(), ["open poll null"]);
  await fresh.clock.advance(24_000);
  await fresh.browser.request.answer(200, { messages: [], last_id: "100-0" });
  assert.deepEqual(fresh.heard(), []);
  assert.equal(fresh.connection.lastId, "100-0");
  const resumed = await poll("99-0");
  await resumed.clock.advance(1_000);
  await resumed.browser.answerKnocks();
  assert.deepEqual(resumed.heard(), ["open poll true"]);
});

test("on a line that is dead from the start, it is never open", async () => {
  const { browser, clock, heard } = await poll("99-0");
  await clock.advance(60_000);
  assert.deepEqual(heard(), ["error 1006 no answer within 10 s"]);
  assert.ok(browser.knocks[0]?.isAborted);
});

test("a poll that was answered needs not ask whether there is a server", async () => {
  const { browser, clock } = await poll();
  await browser.request.answer(200, { messages: [item("101-0")], last_id: "101-0" });
  await clock.advance(24_000);
  assert.equal(browser.knocks.length, 0);
});

test("tells what was lost at the first answer, and at a later one", async () => {
  const { browser, heard } = await poll("99-0");
  await browser.request.answer(200, { messages: [item("201-0")], last_id: "201-0", recovered: false });
  assert.deepEqual(heard(), ["open poll false", "gap 99-0 201-0", "201-0 x"]);
  await browser.request.answer(200, { messages: [], last_id: "300-0", recovered: false });
  assert.deepEqual(heard(), ["gap 201-0 300-0"]);
  await browser.clock.advance(1_000);
  await browser.request.answer(200, { messages: [item("5-0")], last_id: "5-0", recovered: false });
  assert.deepEqual(heard(), ["gap 300-0 5-0", "5-0 x"], "the server's order began anew");
});

test("empty answers that come too soon do not make it ask in a loop", async () => {
  const { browser, clock } = await poll();
  await browser.request.answer(200, { messages: [], last_id: "100-0" });
  assert.equal(browser.requests.length, 1);
  await clock.advance(999);
  assert.equal(browser.requests.length, 1);
  await clock.advance(1);
  assert.equal(browser.requests.length, 2);
});

test("the token's own claims stand in for what the answer does not say", async () => {
  const browser = new FakeBrowser();
  const transport = pollTransport(browser.platform);
  assert.ok(transport);
  const { sink, heard } = recordingSink();
  const token = tokenWith({ sub: "ann", exp: 1_800_000_000 });
  const link = transport.connect({ url: URL, token, lastId: null, since: null }, sink);
  await browser.clock.advance(1_000);
  await browser.answerKnocks();
  assert.deepEqual(heard(), [
    {
      kind: "open",
      opened: {
        clientId: "ann",
        id: null,
        recovered: null,
        expiresAt: 1_800_000_000,
        pingIntervalMs: 25_000,
      },
    },
  ]);
  assert.equal(link.renew, undefined);
});

test("faults, a full server, and answers that are not the server's", async () => {
  const expired = await poll();
  await expired.browser.request.answer(401, { detail: "Token+timed+out.", code: 4002 });
  assert.deepEqual(expired.heard(), ["fatal 4002 Token+timed+out.", "close 4002"]);

  const full = await poll();
  await full.browser.request.answer(503, { detail: "full" }, { "retry-after": "5" });
  assert.deepEqual(full.heard(), ["error 4029 full"]);
  assert.ok(full.clock.untilNext >= 5_000 && full.clock.untilNext < 9_000);

  const portal = await poll();
  await portal.browser.request.answer(200, "<html>");
  assert.match(portal.heard()[0] ?? "", /^error 1006 SyntaxError/);
  for (const body of ["null", "7", "[]", "{}"]) {
    const odd = await poll();
    await odd.browser.request.answer(200, body);
    assert.deepEqual(odd.heard(), ["open poll null"]);
    await odd.clock.advance(1_000);
    assert.equal(odd.browser.requests.length, 2);
  }
});

test("malformed items are errors, and the others are delivered", async () => {
  const { browser, heard } = await poll();
  await browser.request.answer(200, { messages: [null, { id: "x" }, item("101-0")], last_id: "101-0" });
  assert.deepEqual(heard(), [
    "open poll null",
    "error 1002 a frame is not an object",
    "error 1002 a frame has neither a type nor an id",
    "101-0 x",
  ]);
});

test("a poll that fails later is a lost connection, which resumes", async () => {
  const { browser, clock, heard } = await poll();
  await browser.request.answer(200, { messages: [item("101-0")], last_id: "101-0" });
  await browser.request.fail();
  assert.deepEqual(heard().at(-1), "error 1006 TypeError: Failed to fetch");
  await clock.advance(500);
  assert.match(browser.request.url, /last_id=101-0$/);
});

const FROM_90 = tokenWith({ sub: "ann", pos: "90-0" });

test("an answer that broke may have held messages: the next poll names where the first was to start", async () => {
  const { browser, clock } = await poll(null, FROM_90);
  await browser.request.startStream("application/json");
  await browser.request.push('{"messages":[{"id":"91-0",');
  await browser.request.breakStream();
  await clock.advance(500);
  assert.match(browser.request.url, /\/v1\/poll\?since=90-0$/);
});

test("so does one after a poll that waited at the server, and then was lost or given up", async () => {
  for (const end of ["lost", "silent", "online"]) {
    const { browser, clock } = await poll(null, FROM_90);
    await clock.advance(1_000);
    await browser.answerKnocks();
    if (end === "lost") await browser.request.fail();
    else if (end === "online") await browser.comeOnline();
    await clock.advance(end === "silent" ? 50_500 : 500);
    assert.match(browser.requests[1]?.url ?? "", /since=90-0$/, end);
  }
});

test("a poll that was refused leaves the place to the server", async () => {
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

test("a renewal while the first poll waits goes on from the old token's place", async () => {
  const browser = new FakeBrowser();
  let count = 0;
  const exp = browser.clock.now / 1000 + 20;
  const token = () => tokenWith({ sub: "ann", exp, pos: `9${count++}-0` });
  connect(browser, { transports: ["poll"], token });
  await browser.clock.advance(1_000);
  await browser.answerKnocks();
  await browser.clock.advance(18_500);
  assert.equal(count, 2);
  assert.match(browser.request.url, /since=90-0$/);
});

test("a poll that is not answered is given up after two intervals", async () => {
  const { browser, clock, heard } = await poll();
  await clock.advance(1_000);
  await browser.answerKnocks();
  await clock.advance(50_000);
  assert.deepEqual(heard(), ["open poll null", "error 1006 nothing heard for 50 s"]);
});

test("close aborts the poll and leaves no timer", async () => {
  const { browser, clock, connection, heard } = await poll();
  connection.close();
  await settle();
  assert.ok(browser.request.isAborted);
  assert.equal(clock.timers.size, 0);
  await clock.advance(60_000);
  assert.deepEqual(heard(), ["close 1000"]);
  assert.equal(browser.requests.length, 1);
});
