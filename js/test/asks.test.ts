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
