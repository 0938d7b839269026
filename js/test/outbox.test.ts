import assert from "node:assert/strict";
import { test } from "node:test";
import { Credentials, type TokenSource } from "../src/credentials.js";
import { Outbox, SendError } from "../src/outbox.js";
import { FakeBrowser, settle } from "./fakes.js";

function makeOutbox({ token = "h.p.s" as TokenSource, limit = 100 } = {}) {
  const browser = new FakeBrowser();
  const line = { open: true };
  const outbox = new Outbox(
    "https://push.example",
    new Credentials(token),
    browser.platform,
    () => line.open,
    limit,
  );
  return { browser, line, outbox };
}

test("posts to the server and gives its answer", async () => {
  const { browser, outbox } = makeOutbox();
  const sent = outbox.send("hi", { group: "lobby" });
  await settle();
  const { request } = browser;
  assert.equal(request.url, "https://push.example/v1/messages");
  assert.equal(request.init.method, "POST");
  assert.equal(request.headers.get("authorization"), "Bearer h.p.s");
  assert.equal(request.headers.get("content-type"), "application/json");
  assert.deepEqual(request.json, { data: "hi", group: "lobby" });
  await request.answer(200, { id: "1-0", sessions: 3 });
  assert.deepEqual(await sent, { id: "1-0", sessions: 3 });
  assert.equal(browser.clock.timers.size, 0);
});

test("a target is one client, several, a group, or the application", async () => {
  const { browser, outbox } = makeOutbox();
  for (const target of [{ to: "ann" }, { to: ["ann", "bob"] }, { group: "g" }, {}]) {
    const sent = outbox.send("x", target);
    await settle();
    assert.deepEqual(browser.request.json, { data: "x", ...target });
    await browser.request.answer(202);
    assert.deepEqual(await sent, {});
  }
});

test("posts one after another, in order", async () => {
  const { browser, outbox } = makeOutbox();
  const all = ["a", "b", "c"].map((data) => outbox.send(data, {}));
  for (const data of ["a", "b", "c"]) {
    await settle();
    assert.deepEqual(browser.request.json, { data });
    await browser.request.answer(202);
  }
  await Promise.all(all);
  assert.equal(browser.requests.length, 3);
});

test("a failure is told to its own sender, and the next goes on", async () => {
  const { browser, outbox } = makeOutbox();
  const first = outbox.send("a", {});
  const second = outbox.send("b", {});
  await settle();
  const refused = assert.rejects(first, (error) => {
    assert.ok(error instanceof SendError);
    assert.deepEqual([error.message, error.status, error.retryAfterMs], ["nobody to relay to", 503, 2000]);
    return true;
  });
  await browser.request.answer(503, { detail: "nobody to relay to" }, { "retry-after": "2" });
  await refused;
  await browser.request.answer(202);
  await second;
});

test("no answer is an error that says so", async () => {
  const { browser, outbox } = makeOutbox();
  const broken = assert.rejects(
    outbox.send("a", {}),
    /no answer from the server: TypeError: Failed to fetch/,
  );
  await settle();
  await browser.request.fail();
  await broken;
  const late = assert.rejects(outbox.send("b", {}), /no answer from the server/);
  await browser.clock.advance(30_000);
  await late;
  assert.ok(browser.request.isAborted);
});

test("nor may the body of an answer, or a token, take for ever: the next goes on", async () => {
  let isSlow = false;
  let count = 0;
  const token = () => (isSlow ? new Promise<string>(() => {}) : `t.${++count}`);
  const { browser, outbox } = makeOutbox({ token });
  const first = assert.rejects(outbox.send("a", {}), /no answer from the server: it took over 30 s/);
  const second = assert.rejects(outbox.send("b", {}), /no answer from the server: it took over 30 s/);
  await settle();
  await browser.request.startStream("application/json");
  await browser.clock.advance(30_000);
  await first;
  assert.ok(browser.requests[0]?.isAborted);
  isSlow = true;
  await browser.request.answer(401, { detail: "Token+timed+out." });
  await browser.clock.advance(30_000);
  await second;
  assert.equal(browser.clock.timers.size, 0);
});

test("while the line is down sends wait, up to the limit, and go out in order", async () => {
  const { browser, line, outbox } = makeOutbox({ limit: 2 });
  line.open = false;
  const waiting = [outbox.send("a", {}), outbox.send("b", {})];
  await assert.rejects(outbox.send("c", {}), /2 messages wait already, the most while not connected/);
  await settle();
  assert.equal(browser.requests.length, 0);
  line.open = true;
  outbox.flush();
  for (const data of ["a", "b"]) {
    await settle();
    assert.deepEqual(browser.request.json, { data });
    await browser.request.answer(202);
  }
  await Promise.all(waiting);
});

test("the limit is for the time away: an open line takes a burst", async () => {
  const { browser, outbox } = makeOutbox({ limit: 2 });
  const burst = Array.from({ length: 50 }, (_, i) => outbox.send(`${i}`, {}));
  for (let i = 0; i < 50; i++) {
    await settle();
    await browser.request.answer(202);
  }
  await Promise.all(burst);
});

test("what could not leave without a network waits for the line to come back", async () => {
  const { browser, outbox } = makeOutbox({ limit: 2 });
  browser.online = false;
  const sent = [outbox.send("a", {}), outbox.send("b", {})];
  await settle();
  await browser.request.fail();
  await browser.request.fail(); // tried again for the second's sake
  await settle();
  assert.equal(browser.requests.length, 2);
  await assert.rejects(outbox.send("c", {}), /2 messages wait already/);
  browser.online = true;
  outbox.flush();
  for (const data of ["a", "b"]) {
    await settle();
    assert.deepEqual(browser.request.json, { data });
    await browser.request.answer(202);
  }
  await Promise.all(sent);
});

test("the line may come back while a try still fails", async () => {
  const { browser, outbox } = makeOutbox();
  browser.online = false;
  const sent = outbox.send("a", {});
  await settle();
  const [lost] = browser.requests;
  browser.online = true;
  outbox.flush();
  await lost?.fail();
  assert.equal(browser.requests.length, 2);
  await browser.request.answer(202);
  await sent;
});

test("a server on the same machine is reached without a network", async () => {
  const { browser, outbox } = makeOutbox();
  browser.online = false;
  const sent = outbox.send("a", {});
  const refused = assert.rejects(outbox.send("b", {}), { status: 403 });
  await settle();
  await browser.request.answer(202);
  await sent;
  await browser.request.answer(403);
  await refused;
});

test("what waits without a network ends with the channel", async () => {
  const { browser, outbox } = makeOutbox();
  browser.online = false;
  const refused = assert.rejects(outbox.send("a", {}), SendError);
  await settle();
  outbox.end();
  await browser.request.fail();
  await refused;
});

test("an expired token is replaced once, where another can be had", async () => {
  let count = 0;
  const { browser, outbox } = makeOutbox({ token: () => `t.${++count}` });
  const sent = outbox.send("a", {});
  await settle();
  await browser.request.answer(401, { detail: "Token+timed+out." });
  assert.equal(browser.request.headers.get("authorization"), "Bearer t.2");
  await browser.request.answer(202);
  await sent;
  const refused = assert.rejects(outbox.send("b", {}), { name: "SendError", status: 401 });
  await settle();
  await browser.request.answer(401, { detail: "Token+timed+out." });
  await browser.request.answer(401, { detail: "Token+timed+out." });
  await refused;
  assert.equal(browser.requests.length, 4);
});

test("another token fault is not asked for twice", async () => {
  for (const token of ["h.p.s", () => "h.p.s"]) {
    const { browser, outbox } = makeOutbox({ token });
    const refused = assert.rejects(outbox.send("a", {}), { status: 401, message: "Token+revoked." });
    await settle();
    await browser.request.answer(401, { detail: "Token+revoked." });
    await refused;
    assert.equal(browser.requests.length, 1);
  }
});

test("the end rejects what waits and what comes", async () => {
  const { line, outbox } = makeOutbox();
  line.open = false;
  const waiting = assert.rejects(outbox.send("a", {}), /the channel is closed/);
  outbox.end();
  await waiting;
  await assert.rejects(outbox.send("b", {}), /the channel is closed/);
});

test("only text can be sent", async () => {
  const { outbox } = makeOutbox();
  for (const data of [1, null, undefined, {}]) {
    await assert.rejects(outbox.send(data as unknown as string, {}), /it must be a string/);
  }
});

test("a browser without fetch() is told about", async () => {
  const { browser, outbox } = makeOutbox();
  browser.platform.fetch = undefined;
  await assert.rejects(outbox.send("a", {}), /no fetch/);
});

test("an answer that breaks, or has no meaning, leaves open whether the message arrived", async () => {
  const { browser, outbox } = makeOutbox();
  browser.online = false; // which may be wrong: but what was answered is not sent again
  for (const end of ["breaks", "odd"]) {
    const sent = assert.rejects(outbox.send("a", {}), (error) => {
      assert.ok(error instanceof SendError);
      assert.match(error.message, /^no answer from the server: (TypeError|SyntaxError)/);
      return error.status === 0;
    });
    await settle();
    if (end === "odd") await browser.request.answer(200, "<html>");
    else {
      await browser.request.startStream("application/json");
      await browser.request.breakStream();
    }
    await sent;
  }
  assert.equal(browser.requests.length, 2);
});
