import assert from "node:assert/strict";
import { test } from "node:test";
import { type Handler, install, Socket } from "../src/appengine.js";
import { FakeBrowser, settle } from "./fakes.js";

interface AppEngine {
  Channel: {
    new (token: unknown): { open(handler?: Handler | null): Socket };
    (token: unknown): { open(handler?: Handler | null): Socket };
  };
  Socket: typeof Socket;
}

function load(goog?: object) {
  const browser = new FakeBrowser();
  browser.platform.fetch = undefined; // WebSocket alone
  const root: { goog?: unknown } = goog ? { goog } : {};
  install(root, "https://push.example", browser.platform);
  const { appengine } = root.goog as { appengine: AppEngine };
  return { browser, clock: browser.clock, appengine, goog: root.goog as Record<string, unknown> };
}

/** A socket whose handlers write down what they get. */
function open(token: unknown = "h.p.s") {
  const all = load();
  const told: unknown[][] = [];
  const handler: Record<string, (event: unknown) => void> = {};
  for (const name of ["onopen", "onmessage", "onerror", "onclose"]) {
    handler[name] = (event) => told.push([name, event]);
  }
  const socket = new all.appengine.Channel(token).open(handler);
  return { ...all, socket, heard: () => told.splice(0) };
}

async function opened() {
  const all = open();
  await settle();
  all.browser.socket.open();
  all.heard();
  return all;
}

test("opens, receives, closes", async () => {
  const { browser, socket, heard } = open();
  assert.ok(socket instanceof Socket);
  assert.equal(socket.readyState, 0);
  assert.deepEqual(heard(), [], "nothing is called inside open()");
  await settle();
  assert.equal(browser.socket.url, "wss://push.example/v1/connect");
  browser.socket.open();
  assert.equal(socket.readyState, 1);
  browser.socket.message("101-0", "hi");
  assert.deepEqual(heard(), [
    ["onopen", {}],
    ["onmessage", { data: "hi" }],
  ]);
  socket.close();
  socket.close();
  assert.equal(socket.readyState, 2);
  assert.deepEqual(heard(), [], "onclose comes later");
  await settle();
  assert.equal(socket.readyState, 3);
  assert.deepEqual(heard(), [["onclose", {}]]);
});

test("ReadyState has the four names", () => {
  const { appengine } = load();
  assert.deepEqual(appengine.Socket.ReadyState, { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });
});

const FAULTS: [number, string][] = [
  [4001, "Invalid+token."],
  [4002, "Token+timed+out."],
  [4003, "Token+revoked."],
];
for (const [code, description] of FAULTS) {
  test(`${description} is onerror with 401, then onclose, before or after the opening`, async () => {
    for (const begin of [open, opened]) {
      const { browser, clock, socket, heard } = await begin();
      await settle();
      browser.socket.end(code, "reason");
      assert.deepEqual(heard(), [
        ["onerror", { description, code: 401 }],
        ["onclose", {}],
      ]);
      assert.equal(socket.readyState, 3);
      await clock.advance(3_600_000);
      assert.equal(browser.sockets.length, 1, "it stays closed");
      socket.close();
      await settle();
      assert.deepEqual(heard(), []);
    }
  });
}

test("a token that is none fails without asking, never inside open()", async () => {
  for (const token of ["", "not a token", undefined, null, 7.5, {}]) {
    const { browser, heard } = open(token);
    assert.deepEqual(heard(), []);
    await settle();
    // What String() makes of the others may look like a token: then the server decides.
    if (browser.sockets.length) browser.socket.end(4001);
    assert.deepEqual(heard(), [
      ["onerror", { description: "Invalid+token.", code: 401 }],
      ["onclose", {}],
    ]);
  }
});

test("replaced by a newer session", async () => {
  const { browser, heard } = await opened();
  browser.socket.end(4009, "replaced by a newer session: do not reconnect");
  assert.deepEqual(heard(), [
    ["onerror", { description: "replaced by a newer session: do not reconnect", code: 4009 }],
    ["onclose", {}],
  ]);
});

test("a lost connection comes back without the page noticing", async () => {
  const { browser, clock, socket, heard } = await opened();
  browser.socket.message("101-0", "a");
  for (const code of [1006, 1012, 4008, 4029]) {
    browser.socket.end(code);
    assert.equal(socket.readyState, 1);
    await clock.advance(clock.untilNext);
    assert.match(browser.socket.url, /last_id=101-0$/);
    browser.socket.open({ recovered: true });
    browser.socket.message("101-0", "a");
  }
  browser.socket.raw("{");
  browser.socket.say({ type: "gap", after: "101-0", before: "103-0" });
  browser.socket.message("104-0", "b");
  assert.deepEqual(heard(), [
    ["onmessage", { data: "a" }],
    ["onmessage", { data: "b" }],
  ]);
});

test("a full server at the first try is waited for", async () => {
  const { browser, clock, heard } = open();
  await settle();
  browser.socket.end(4029);
  await clock.advance(clock.untilNext);
  browser.socket.open();
  assert.deepEqual(heard(), [["onopen", {}]]);
});

test("handlers are copied at open() and read when an event fires", async () => {
  const { browser, appengine } = load();
  const heard: string[] = [];
  const handler: Handler = { onmessage: () => heard.push("old") };
  const socket = new appengine.Channel("h.p.s").open(handler);
  assert.equal(socket.onmessage, handler.onmessage);
  handler.onmessage = () => heard.push("changed in the argument");
  await settle();
  browser.socket.open();
  browser.socket.message("101-0");
  socket.onmessage = () => heard.push("new");
  browser.socket.message("102-0");
  assert.deepEqual(heard, ["old", "new"]);
});

test("handlers assigned after open() are called, with this the socket", async () => {
  const { browser, appengine } = load();
  const socket = new appengine.Channel("h.p.s").open();
  const calls: unknown[] = [];
  for (const name of ["onopen", "onmessage", "onerror", "onclose"] as const) {
    socket[name] = function (this: Socket) {
      calls.push(name, this === socket);
    };
  }
  await settle();
  browser.socket.open();
  browser.socket.message("101-0");
  browser.socket.end(4003);
  assert.deepEqual(calls, ["onopen", true, "onmessage", true, "onerror", true, "onclose", true]);
});

test("missing and unusable handlers are tolerated", async () => {
  for (const handler of [undefined, null, {}, { onopen: null }, { onopen: "text" } as unknown as Handler]) {
    const { browser, appengine } = load();
    const socket = new appengine.Channel("h.p.s").open(handler);
    await settle();
    browser.socket.open();
    browser.socket.message("101-0");
    browser.socket.end(4001);
    assert.equal(socket.readyState, 3);
  }
});

test("a handler that throws does not break the socket", async () => {
  const thrown: unknown[] = [];
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  try {
    const reported = new Promise<void>((resolve) => {
      process.on("uncaughtException", (error) => {
        thrown.push((error as Error).message);
        if (thrown.length === 2) resolve();
      });
    });
    const { browser, socket, heard } = await opened();
    socket.onmessage = () => {
      throw new Error("page's fault");
    };
    browser.socket.message("101-0");
    browser.socket.message("102-0");
    browser.socket.end(4003);
    await reported;
    assert.deepEqual(thrown, ["page's fault", "page's fault"]);
    assert.deepEqual(
      heard().map(([name]) => name),
      ["onerror", "onclose"],
    );
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const listener of listeners) process.on("uncaughtException", listener);
  }
});

test("opening again gives a new socket, and a page may have many", async () => {
  const { browser, appengine } = load();
  const channel = new appengine.Channel("h.p.s");
  const first = channel.open();
  await settle();
  first.close();
  const second = channel.open();
  const other = new appengine.Channel("o.t.h").open();
  assert.notEqual(first, second);
  await settle();
  assert.deepEqual([first.readyState, second.readyState, other.readyState], [3, 0, 0]);
  const heard: unknown[] = [];
  second.onmessage = ({ data }) => heard.push(["second", data]);
  other.onmessage = ({ data }) => heard.push(["other", data]);
  const [, secondLine, otherLine] = browser.sockets;
  assert.deepEqual(otherLine?.protocols[1], "headrace.token.o.t.h");
  secondLine?.open();
  otherLine?.open();
  secondLine?.message("101-0", "a");
  otherLine?.message("101-0", "b");
  assert.deepEqual(heard, [
    ["second", "a"],
    ["other", "b"],
  ]);
});

test("send posts to the server with the token", async () => {
  const { browser, socket, heard } = await opened();
  const { fetch } = new FakeBrowser().platform;
  assert.ok(fetch);
  const posts: [string, RequestInit][] = [];
  browser.platform.fetch = (async (url: string, init: RequestInit) => {
    posts.push([url, init]);
    return new Response(null, { status: posts.length === 1 ? 202 : 403 });
  }) as typeof fetch;
  assert.equal(socket.send("hi"), true);
  assert.equal(socket.send(7), true);
  await settle();
  await settle();
  assert.equal(posts[0]?.[0], "https://push.example/v1/messages");
  assert.equal(posts[0]?.[1].body, '{"data":"hi"}');
  assert.equal(new Headers(posts[0]?.[1].headers).get("authorization"), "Bearer h.p.s");
  assert.equal(posts[1]?.[1].body, '{"data":"7"}');
  assert.deepEqual(heard(), [["onerror", { description: "HTTP 403", code: 403 }]]);
  assert.equal(socket.readyState, 1, "a send that failed does not end the socket");
  socket.close();
  assert.equal(socket.send("late"), false);
});

test("an existing goog is kept and extended", () => {
  const provide = () => {};
  const memcache = {};
  const { goog, appengine } = load({ provide, appengine: { memcache } });
  assert.equal(goog.provide, provide);
  assert.equal((appengine as unknown as Record<string, unknown>).memcache, memcache);
  assert.equal(typeof appengine.Channel, "function");
});

test("Channel works without new, as a subclass's base, and with instanceof", () => {
  const { appengine } = load();
  const plain = appengine.Channel("h.p.s");
  assert.ok(plain instanceof appengine.Channel);
  assert.equal(typeof plain.open, "function");
  assert.ok(new appengine.Channel("h.p.s") instanceof appengine.Channel);
});
