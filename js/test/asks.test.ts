import assert from "node:assert/strict";
import { test } from "node:test";
import { Channel } from "../src/channel.js";
import { SendError } from "../src/outbox.js";
import type { TransportName } from "../src/transport.js";
import { FakeBrowser, settle } from "./fakes.js";

const OVER = { over: "socket" } as const;

async function open(transport: TransportName = "websocket") {
  const browser = new FakeBrowser();
  const channel = new Channel(
    { url: "https://push.example", token: "h.p.s", transports: [transport] },
    browser.platform,
  );
  await settle();
  if (transport === "websocket") browser.socket.open();
  return { browser, channel };
}

test("goes over the socket when told to, and gets the answer to its own number", async () => {
  const { browser, channel } = await open();
  const first = channel.send("a", { group: "lobby", ...OVER });
  const second = channel.send("b", { to: ["bob", "eve"], ...OVER });
  const third = channel.send("c", OVER);
  await settle();
  assert.deepEqual(browser.socket.sent, [
    { type: "send", ref: 1, data: "a", group: "lobby" },
    { type: "send", ref: 2, data: "b", to: ["bob", "eve"] },
    { type: "send", ref: 3, data: "c" },
  ]);
  assert.equal(browser.requests.length, 0);
  browser.socket.say({ type: "sent", ref: 2, id: "5-0" });
  browser.socket.say({ type: "sent", ref: 3, id: null });
  browser.socket.say({ type: "error", ref: 1, code: 403, detail: "not covered" });
  assert.deepEqual(await second, { id: "5-0" });
  assert.deepEqual(await third, {});
  await assert.rejects(first, new SendError("not covered", 403));
});

test("an answer that nobody waits for, or that is to no message, changes nothing", async () => {
  const { browser, channel } = await open();
  const sent = channel.send("a", OVER);
  await settle();
  for (const frame of [
    { type: "sent", ref: 7, id: "1-0" },
    { type: "error", detail: "x" },
    { type: "sent" },
  ]) {
    browser.socket.say(frame);
  }
  browser.socket.say({ type: "sent", ref: 1, id: "2-0" });
  browser.socket.say({ type: "sent", ref: 1, id: "3-0" });
  assert.deepEqual(await sent, { id: "2-0" });
});

test("a lost connection rejects what waits for its answer, with the status of no answer", async () => {
  const { browser, channel } = await open();
  const sent = channel.send("a", OVER);
  await settle();
  browser.socket.end(1006);
  await assert.rejects(sent, new SendError("the connection was lost", 0));
});

test("a send that is never answered ends after 30 s; an answer that comes later changes nothing", async () => {
  const { browser, channel } = await open();
  const answered = channel.send("a", OVER);
  const sent = channel.send("b", OVER);
  const late = assert.rejects(sent, (error) => {
    assert.ok(error instanceof SendError);
    assert.deepEqual([error.message, error.status], ["no answer from the server: it took over 30 s", 0]);
    return true;
  });
  await settle();
  browser.socket.say({ type: "sent", ref: 1, id: "1-0" });
  await answered;
  browser.socket.say({ type: "error", code: 400, detail: "the frame is nested too deeply" });
  await browser.clock.advance(30_000);
  await late;
  browser.socket.say({ type: "sent", ref: 2, id: "2-0" });
});

test("no timer is left once a send has its answer, or the line is lost", async () => {
  const { browser, channel } = await open();
  const before = browser.clock.timers.size;
  const sent = channel.send("a", OVER);
  const refused = assert.rejects(channel.send("b", OVER), /the connection was lost/);
  await settle();
  assert.equal(browser.clock.timers.size, before + 2);
  browser.socket.say({ type: "sent", ref: 1, id: "1-0" });
  await sent;
  assert.equal(browser.clock.timers.size, before + 1);
  channel.close();
  await refused;
  assert.equal(browser.clock.timers.size, 0);
});

test("at most 64 are under way; each answer lets the next go, in order", async () => {
  const { browser, channel } = await open();
  const all = Array.from({ length: 200 }, (_, i) => channel.send(`${i}`, OVER));
  await settle();
  assert.equal(browser.socket.sent.length, 64);
  for (let ref = 1; ref <= 200; ref++) {
    browser.socket.say({ type: "sent", ref, id: `${ref}-0` });
    await settle();
    assert.equal(browser.socket.sent.length, Math.min(200, 64 + ref));
  }
  await Promise.all(all);
  assert.deepEqual(
    browser.socket.sent.map((frame) => (frame as { data: string }).data),
    Array.from({ length: 200 }, (_, i) => `${i}`),
  );
});

test("one that is not answered in time makes room", async () => {
  const { browser, channel } = await open();
  const all = Array.from({ length: 65 }, (_, i) => channel.send(`${i}`, OVER));
  const settled = Promise.allSettled(all);
  await settle();
  assert.equal(browser.socket.sent.length, 64);
  await browser.clock.advance(30_000);
  assert.equal(browser.socket.sent.length, 65);
  browser.socket.say({ type: "sent", ref: 65, id: "1-0" });
  const rejected = (await settled).filter(({ status }) => status === "rejected");
  assert.equal(rejected.length, 64);
});

test("what waits for room when the line is lost goes over the next one, and ends with the channel", async () => {
  const { browser, channel } = await open();
  const all = Array.from({ length: 200 }, (_, i) => channel.send(`${i}`, OVER));
  const settled = Promise.allSettled(all);
  await settle();
  browser.socket.end(1006);
  await browser.clock.advance(500);
  assert.equal(browser.sockets.length, 2);
  assert.deepEqual(browser.socket.sent, []);
  browser.socket.open();
  await settle();
  assert.deepEqual(
    browser.socket.sent.map((frame) => (frame as { data: string }).data),
    Array.from({ length: 64 }, (_, i) => `${64 + i}`),
  );
  channel.close();
  const reasons = (await settled).map((result) => (result as PromiseRejectedResult).reason.message);
  assert.deepEqual(reasons, [
    ...Array(128).fill("the connection was lost"),
    ...Array(72).fill("the channel is closed"),
  ]);
});

test("what the socket does not take is posted, and the next goes on", async () => {
  const { browser, channel } = await open();
  const { socket } = browser;
  const send = socket.send.bind(socket);
  socket.send = () => {
    throw new DOMException("closing", "InvalidStateError");
  };
  const first = channel.send("a", OVER);
  const second = channel.send("b", OVER);
  await settle();
  assert.deepEqual(browser.request.json, { data: "a" });
  socket.send = send;
  await browser.request.answer(200, { id: "1-0", sessions: 1 });
  assert.deepEqual(await first, { id: "1-0", sessions: 1 });
  await settle();
  socket.say({ type: "sent", ref: 2, id: "2-0" });
  assert.deepEqual(await second, { id: "2-0" });
});

test("half a surrogate pair, which the server cannot read, is posted and refused; a whole one is not", async () => {
  const { browser, channel } = await open();
  for (const half of ["\ud83d", "a\ude42", "\udbff\udbff"]) {
    const refused = assert.rejects(channel.send(half, OVER), new SendError("not Unicode text", 400));
    await settle();
    assert.deepEqual(browser.request.json, { data: half });
    await browser.request.answer(400, { detail: "not Unicode text" });
    await refused;
  }
  assert.deepEqual(browser.socket.sent, []);
  const whole = channel.send("\ud83d\ude42", OVER);
  await settle();
  assert.deepEqual(browser.socket.sent, [{ type: "send", ref: 1, data: "🙂" }]);
  browser.socket.say({ type: "sent", ref: 1, id: null });
  await whole;
});

test("what is sent while away waits, and then goes over the new socket", async () => {
  const { browser, channel } = await open();
  browser.socket.end(1006);
  const sent = channel.send("a", OVER);
  await browser.clock.advance(500);
  browser.socket.open();
  await settle();
  assert.deepEqual(browser.socket.sent, [{ type: "send", ref: 1, data: "a" }]);
  browser.socket.say({ type: "sent", ref: 1, id: "1-0" });
  assert.deepEqual(await sent, { id: "1-0" });
});

test("is posted where it cannot go over the socket, and by default", async () => {
  const { browser, channel } = await open();
  const calls = [
    [channel.send("plain"), "plain"],
    [channel.send("x".repeat(65_536), OVER), "x".repeat(65_536)],
  ] as const;
  for (const [sent, data] of calls) {
    await settle();
    assert.deepEqual(browser.request.json, { data });
    await browser.request.answer(200, { id: "1-0", sessions: 1 });
    assert.deepEqual(await sent, { id: "1-0", sessions: 1 });
  }
  assert.deepEqual(browser.socket.sent, []);
});
