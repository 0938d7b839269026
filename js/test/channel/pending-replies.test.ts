import assert from "node:assert/strict";
import { test } from "node:test";
import { Channel } from "../../src/channel/channel.js";
import { SendError } from "../../src/protocol/send.js";
import type { TransportName } from "../../src/transports/transport.js";
import { FakeBrowser } from "../helpers/fake-browser.js";
import { settle } from "../helpers/manual-clock.js";

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

test("sends over the socket if asked to, and matches each reply by its number", async () => {
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
  browser.socket.sendFrame({ type: "sent", ref: 2, id: "5-0" });
  browser.socket.sendFrame({ type: "sent", ref: 3, id: null });
  browser.socket.sendFrame({ type: "error", ref: 1, code: 403, detail: "not covered" });
  assert.deepEqual(await second, { id: "5-0" });
  assert.deepEqual(await third, {});
  await assert.rejects(first, new SendError("not covered", 403));
});

test("a reply with an unknown number, or without one, is ignored", async () => {
  const { browser, channel } = await open();
  const sent = channel.send("a", OVER);
  await settle();
  for (const frame of [
    { type: "sent", ref: 7, id: "1-0" },
    { type: "error", detail: "x" },
    { type: "sent" },
  ]) {
    browser.socket.sendFrame(frame);
  }
  browser.socket.sendFrame({ type: "sent", ref: 1, id: "2-0" });
  browser.socket.sendFrame({ type: "sent", ref: 1, id: "3-0" });
  assert.deepEqual(await sent, { id: "2-0" });
});

test("a lost connection rejects the messages without a reply, with status 0", async () => {
  const { browser, channel } = await open();
  const sent = channel.send("a", OVER);
  await settle();
  browser.socket.closeByServer(1006);
  await assert.rejects(sent, new SendError("the connection was lost", 0));
});

test("a message without a reply is rejected after 30 s; a later reply is ignored", async () => {
  const { browser, channel } = await open();
  const answered = channel.send("a", OVER);
  const sent = channel.send("b", OVER);
  const late = assert.rejects(sent, (error) => {
    assert.ok(error instanceof SendError);
    assert.deepEqual([error.message, error.status], ["no answer from the server: it took over 30 s", 0]);
    return true;
  });
  await settle();
  browser.socket.sendFrame({ type: "sent", ref: 1, id: "1-0" });
  await answered;
  browser.socket.sendFrame({ type: "error", code: 400, detail: "the frame is nested too deeply" });
  await browser.clock.advance(30_000);
  await late;
  browser.socket.sendFrame({ type: "sent", ref: 2, id: "2-0" });
});

test("no timer is left after the reply, or after the connection is lost", async () => {
  const { browser, channel } = await open();
  const before = browser.clock.timers.size;
  const sent = channel.send("a", OVER);
  const refused = assert.rejects(channel.send("b", OVER), /the connection was lost/);
  await settle();
  assert.equal(browser.clock.timers.size, before + 2);
  browser.socket.sendFrame({ type: "sent", ref: 1, id: "1-0" });
  await sent;
  assert.equal(browser.clock.timers.size, before + 1);
  channel.close();
  await refused;
  assert.equal(browser.clock.timers.size, 0);
});

test("at most 64 messages are pending; each reply lets the next one go, in order", async () => {
  const { browser, channel } = await open();
  const all = Array.from({ length: 200 }, (_, i) => channel.send(`${i}`, OVER));
  await settle();
  assert.equal(browser.socket.sent.length, 64);
  for (let ref = 1; ref <= 200; ref++) {
    browser.socket.sendFrame({ type: "sent", ref, id: `${ref}-0` });
    await settle();
    assert.equal(browser.socket.sent.length, Math.min(200, 64 + ref));
  }
  await Promise.all(all);
  assert.deepEqual(
    browser.socket.sent.map((frame) => (frame as { data: string }).data),
    Array.from({ length: 200 }, (_, i) => `${i}`),
  );
});

test("a message that timed out is no longer pending", async () => {
  const { browser, channel } = await open();
  const all = Array.from({ length: 65 }, (_, i) => channel.send(`${i}`, OVER));
  const settled = Promise.allSettled(all);
  await settle();
  assert.equal(browser.socket.sent.length, 64);
  await browser.clock.advance(30_000);
  assert.equal(browser.socket.sent.length, 65);
  browser.socket.sendFrame({ type: "sent", ref: 65, id: "1-0" });
  const rejected = (await settled).filter(({ status }) => status === "rejected");
  assert.equal(rejected.length, 64);
});

test("messages over the limit are sent over the next connection, or rejected by close()", async () => {
  const { browser, channel } = await open();
  const all = Array.from({ length: 200 }, (_, i) => channel.send(`${i}`, OVER));
  const settled = Promise.allSettled(all);
  await settle();
  browser.socket.closeByServer(1006);
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

test("a message that the socket rejects is posted, and the next one is sent", async () => {
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
  socket.sendFrame({ type: "sent", ref: 2, id: "2-0" });
  assert.deepEqual(await second, { id: "2-0" });
});

test("text with a lone surrogate is posted, and refused; a surrogate pair is sent over the socket", async () => {
  const { browser, channel } = await open();
  for (const text of ["\ud83d", "a\ude42", "\udbff\udbff"]) {
    const refused = assert.rejects(channel.send(text, OVER), new SendError("not Unicode text", 400));
    await settle();
    assert.deepEqual(browser.request.json, { data: text });
    await browser.request.answer(400, { detail: "not Unicode text" });
    await refused;
  }
  assert.deepEqual(browser.socket.sent, []);
  const pair = channel.send("\ud83d\ude42", OVER);
  await settle();
  assert.deepEqual(browser.socket.sent, [{ type: "send", ref: 1, data: "🙂" }]);
  browser.socket.sendFrame({ type: "sent", ref: 1, id: null });
  await pair;
});

test("a message sent while not connected waits for the new socket", async () => {
  const { browser, channel } = await open();
  browser.socket.closeByServer(1006);
  const sent = channel.send("a", OVER);
  await browser.clock.advance(500);
  browser.socket.open();
  await settle();
  assert.deepEqual(browser.socket.sent, [{ type: "send", ref: 1, data: "a" }]);
  browser.socket.sendFrame({ type: "sent", ref: 1, id: "1-0" });
  assert.deepEqual(await sent, { id: "1-0" });
});

test("messages are posted by default, and if they are too long for the socket", async () => {
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
