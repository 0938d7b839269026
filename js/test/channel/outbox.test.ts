import assert from "node:assert/strict";
import { test } from "node:test";
import { Credentials, type TokenSource } from "../../src/channel/credentials.js";
import { Outbox } from "../../src/channel/outbox.js";
import { SendError } from "../../src/protocol/send.js";
import { FakeBrowser } from "../helpers/fake-browser.js";
import { settle } from "../helpers/manual-clock.js";

function makeOutbox({ token = "h.p.s" as TokenSource, limit = 100 } = {}) {
  const browser = new FakeBrowser();
  const state = { open: true };
  const outbox = new Outbox(
    "https://push.example",
    new Credentials(token),
    browser.platform,
    () => state.open,
    limit,
  );
  return { browser, state, outbox };
}

test("posts to the server and returns its answer", async () => {
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

test("an error rejects its own send only, and the next message is sent", async () => {
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

test("a missing answer is reported as such", async () => {
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

test("the timeout covers the response body and the token; then the next message is sent", async () => {
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

test("messages wait while not connected, up to the limit, and are sent in order", async () => {
  const { browser, state, outbox } = makeOutbox({ limit: 2 });
  state.open = false;
  const waiting = [outbox.send("a", {}), outbox.send("b", {})];
  await assert.rejects(outbox.send("c", {}), /2 messages are waiting, the limit while not connected/);
  await settle();
  assert.equal(browser.requests.length, 0);
  state.open = true;
  outbox.flush();
  for (const data of ["a", "b"]) {
    await settle();
    assert.deepEqual(browser.request.json, { data });
    await browser.request.answer(202);
  }
  await Promise.all(waiting);
});

test("the limit does not apply while connected", async () => {
  const { browser, outbox } = makeOutbox({ limit: 2 });
  const burst = Array.from({ length: 50 }, (_, i) => outbox.send(`${i}`, {}));
  for (let i = 0; i < 50; i++) {
    await settle();
    await browser.request.answer(202);
  }
  await Promise.all(burst);
});

test("a message that could not be sent offline waits for the connection", async () => {
  const { browser, outbox } = makeOutbox({ limit: 2 });
  browser.online = false;
  const sent = [outbox.send("a", {}), outbox.send("b", {})];
  await settle();
  await browser.request.fail();
  await browser.request.fail(); // tried again for the second message
  await settle();
  assert.equal(browser.requests.length, 2);
  await assert.rejects(outbox.send("c", {}), /2 messages are waiting/);
  browser.online = true;
  outbox.flush();
  for (const data of ["a", "b"]) {
    await settle();
    assert.deepEqual(browser.request.json, { data });
    await browser.request.answer(202);
  }
  await Promise.all(sent);
});

test("the connection may open while an attempt to send is still failing", async () => {
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

test("a server on the same machine is reached while offline", async () => {
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

test("closing rejects a message that waits while offline", async () => {
  const { browser, outbox } = makeOutbox();
  browser.online = false;
  const refused = assert.rejects(outbox.send("a", {}), SendError);
  await settle();
  outbox.close();
  await browser.request.fail();
  await refused;
});

test("an expired token is replaced once, if a new one can be fetched", async () => {
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

test("another token error does not repeat the request", async () => {
  for (const token of ["h.p.s", () => "h.p.s"]) {
    const { browser, outbox } = makeOutbox({ token });
    const refused = assert.rejects(outbox.send("a", {}), { status: 401, message: "Token+revoked." });
    await settle();
    await browser.request.answer(401, { detail: "Token+revoked." });
    await refused;
    assert.equal(browser.requests.length, 1);
  }
});

test("close rejects waiting and later messages", async () => {
  const { state, outbox } = makeOutbox();
  state.open = false;
  const waiting = assert.rejects(outbox.send("a", {}), /the channel is closed/);
  outbox.close();
  await waiting;
  await assert.rejects(outbox.send("b", {}), /the channel is closed/);
});

test("only strings can be sent", async () => {
  const { outbox } = makeOutbox();
  for (const data of [1, null, undefined, {}]) {
    await assert.rejects(outbox.send(data as unknown as string, {}), /it must be a string/);
  }
});

test("a browser without fetch() is reported", async () => {
  const { browser, outbox } = makeOutbox();
  browser.platform.fetch = undefined;
  await assert.rejects(outbox.send("a", {}), /no fetch/);
});

test("an incomplete or invalid answer is an error with status 0", async () => {
  const { browser, outbox } = makeOutbox();
  browser.online = false; // it may be wrong; a message that was answered is not sent again
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
