import assert from "node:assert/strict";
import { test } from "node:test";
import { Channel, type ChannelOptions } from "../../src/channel/channel.js";
import type { ChannelEventMap, ChannelMessageEvent } from "../../src/channel/events.js";
import { FakeBrowser } from "../helpers/fake-browser.js";
import { settle } from "../helpers/manual-clock.js";

function open(options: Partial<ChannelOptions> = {}) {
  const browser = new FakeBrowser();
  const channel = new Channel(
    { url: "https://push.example", token: "h.p.s", transports: ["websocket"], ...options },
    browser.platform,
  );
  return { browser, clock: browser.clock, channel };
}

/** An array to which the events of `type` are added as they occur. */
function collect<K extends keyof ChannelEventMap>(channel: Channel, type: K): ChannelEventMap[K][] {
  const events: ChannelEventMap[K][] = [];
  channel.addEventListener(type, (event) => events.push(event));
  return events;
}

test("the events and their fields", async () => {
  const { browser, clock, channel } = open();
  const opens = collect(channel, "open");
  const messages = collect(channel, "message");
  const gaps = collect(channel, "gap");
  const errors = collect(channel, "error");
  const closes = collect(channel, "close");
  await settle();
  browser.socket.open({ expires_at: 1_800_000_000, client_id: "ann", id: "100-0" });
  const [first] = opens;
  assert.ok(first);
  assert.deepEqual(
    [first.clientId, first.id, first.recovered, first.expiresAt, first.transport],
    ["ann", "100-0", null, 1_800_000_000, "websocket"],
  );
  browser.socket.sendFrame({ id: "101-0", data: "hi", group: "lobby" });
  browser.socket.message("102-0");
  assert.deepEqual(
    messages.map(({ id, data, group }) => [id, data, group]),
    [
      ["101-0", "hi", "lobby"],
      ["102-0", "data of 102-0", undefined],
    ],
  );
  browser.socket.closeByServer(1006);
  assert.deepEqual(
    [errors[0]?.code, errors[0]?.description, errors[0]?.fatal],
    [1006, "connection lost", false],
  );
  await clock.advance(500);
  browser.socket.open({ recovered: false, id: "105-0" });
  assert.equal(opens[1]?.recovered, false);
  assert.deepEqual([gaps[0]?.after, gaps[0]?.before], ["102-0", "105-0"]);
  browser.socket.closeByServer(4003, "token revoked");
  assert.deepEqual(
    [errors[1]?.code, errors[1]?.description, errors[1]?.fatal],
    [4003, "Token+revoked.", true],
  );
  assert.deepEqual([closes[0]?.code, closes[0]?.reason], [4003, "token revoked"]);
});

test("readyState", async () => {
  const { browser, clock, channel } = open();
  const states = () => channel.readyState;
  assert.equal(states(), Channel.CONNECTING);
  await settle();
  browser.socket.open();
  assert.equal(states(), Channel.OPEN);
  browser.socket.closeByServer(1006);
  assert.equal(states(), Channel.CONNECTING);
  await clock.advance(500);
  browser.socket.open();
  channel.close();
  assert.equal(states(), Channel.CLOSING);
  await settle();
  assert.equal(states(), Channel.CLOSED);
});

test("another channel can resume from lastId", async () => {
  const { browser, channel } = open();
  await settle();
  assert.equal(channel.lastId, null);
  browser.socket.open();
  browser.socket.message("101-0");
  const { lastId } = channel;
  const next = open({ lastId });
  await settle();
  assert.match(next.browser.socket.url, /last_id=101-0$/);
});

test("for await yields every message from the start, and ends at close", async () => {
  const { browser, channel } = open();
  await settle();
  browser.socket.open();
  browser.socket.message("101-0"); // before the first listener
  const read = (async () => {
    const ids = [];
    for await (const { id } of channel) ids.push(id);
    return ids;
  })();
  browser.socket.message("102-0");
  await settle();
  browser.socket.message("103-0");
  browser.socket.message("104-0");
  channel.close();
  assert.deepEqual(await read, ["101-0", "102-0", "103-0", "104-0"]);
  for await (const _ of channel) assert.fail("a loop after close ends at once");
});

test("each loop gets every message, until it is left", async () => {
  const { browser, channel } = open();
  await settle();
  browser.socket.open();
  const loops = [channel[Symbol.asyncIterator](), channel[Symbol.asyncIterator]()];
  await loops[0]?.return?.();
  const other = collect(channel, "message");
  browser.socket.message("101-0");
  assert.equal((await loops[0]?.next())?.done, true);
  assert.equal((await loops[1]?.next())?.value.id, "101-0");
  assert.equal(other.length, 1);
});

test("messages are kept for the first listener, which is not called inside addEventListener()", async () => {
  const { browser, channel } = open();
  await settle();
  browser.socket.open();
  browser.socket.message("101-0");
  channel.addEventListener("message", null);
  const messages = collect(channel, "message");
  assert.equal(messages.length, 0);
  browser.socket.message("102-0");
  await settle();
  browser.socket.message("103-0");
  assert.deepEqual(
    messages.map(({ id }) => id),
    ["101-0", "102-0", "103-0"],
  );
});

test("1,000 messages are kept for the first listener; earlier ones are reported as a gap", async () => {
  const { browser, channel } = open();
  const gaps = collect(channel, "gap");
  await settle();
  browser.socket.open();
  for (let i = 1; i <= 1_002; i++) browser.socket.message(`101-${i}`);
  const messages = collect(channel, "message");
  await settle();
  assert.equal(messages.length, 1_000);
  assert.equal(messages[0]?.id, "101-3");
  assert.deepEqual(
    gaps.map(({ after, before }) => [after, before]),
    [[null, "101-3"]],
  );
});

test("listeners that throw do not break the channel", async () => {
  const { browser, clock, channel } = open();
  const thrown: unknown[] = [];
  // This is how Node reports a listener's exception. A browser calls window.onerror.
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => thrown.push(error));
  try {
    for (const type of ["open", "message", "gap", "error", "close"] as const) {
      channel.addEventListener(type, () => {
        throw new Error(type);
      });
    }
    const messages = collect(channel, "message");
    await settle();
    browser.socket.open();
    browser.socket.message("101-0");
    browser.socket.sendFrame({ type: "gap", after: "101-0", before: "103-0" });
    browser.socket.closeByServer(1006);
    await clock.advance(500);
    browser.socket.open({ recovered: true });
    browser.socket.message("104-0");
    channel.close();
    await settle();
    assert.deepEqual(
      messages.map(({ id }) => id),
      ["101-0", "104-0"],
    );
    assert.equal(channel.readyState, Channel.CLOSED);
    assert.deepEqual(
      thrown.map((error) => (error as Error).message),
      ["open", "message", "gap", "error", "open", "message", "close"],
    );
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const listener of listeners) process.on("uncaughtException", listener);
  }
});

test("a listener may close the channel at any event", async () => {
  for (const type of ["open", "message", "error"] as const) {
    const { browser, clock, channel } = open();
    const closes = collect(channel, "close");
    channel.addEventListener(type, () => channel.close());
    await settle();
    browser.socket.open({ recovered: false });
    browser.socket.message("101-0");
    browser.socket.closeByServer(1006);
    await clock.advance(60_000);
    assert.equal(closes.length, 1, type);
    assert.equal(channel.readyState, Channel.CLOSED);
    assert.equal(clock.timers.size, 0);
  }
});

test("removeEventListener(), objects with handleEvent(), and the option once", async () => {
  const { browser, channel } = open();
  const ids: string[] = [];
  const removed = ({ id }: ChannelMessageEvent) => ids.push(`removed ${id}`);
  channel.addEventListener("message", removed);
  channel.removeEventListener("message", removed);
  channel.addEventListener("message", { handleEvent: ({ id }) => ids.push(`object ${id}`) });
  channel.addEventListener("message", ({ id }) => ids.push(`once ${id}`), { once: true });
  await settle();
  browser.socket.open();
  browser.socket.message("101-0");
  browser.socket.message("102-0");
  assert.deepEqual(ids, ["object 101-0", "once 101-0", "object 102-0"]);
});

test("send() waits for the connection, then posts", async () => {
  const { browser, channel } = open();
  const sent = channel.send("hi", { to: "bob" });
  await settle();
  assert.equal(browser.requests.length, 0);
  browser.socket.open();
  await settle();
  assert.deepEqual(browser.request.json, { data: "hi", to: "bob" });
  await browser.request.answer(200, { id: "1-0", sessions: 1 });
  assert.deepEqual(await sent, { id: "1-0", sessions: 1 });
});

test("send() rejects over the outbox limit and after close()", async () => {
  const { channel } = open({ outbox: 1 });
  const waiting = assert.rejects(channel.send("a"), /the channel is closed/);
  await assert.rejects(channel.send("b"), /1 messages are waiting/);
  channel.close();
  await waiting;
  await assert.rejects(channel.send("c"), /the channel is closed/);
});

test("invalid options throw TypeError", () => {
  const bad: [object, RegExp][] = [
    [{ token: undefined }, /token is undefined/],
    [{ token: 1 }, /token is number/],
    [{ url: "ftp://x" }, /http: or https:/],
    [{ lastId: "x" }, /lastId is x/],
    [{ transports: ["carrier pigeon"] }, /transports has carrier pigeon/],
    [{ transports: [] }, /this browser has none/],
  ];
  for (const [options, message] of bad) {
    assert.throws(() => open(options as Partial<ChannelOptions>), { name: "TypeError", message });
  }
});
