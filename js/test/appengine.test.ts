import assert from "node:assert/strict";
import { test } from "node:test";
import { type Handler, install, Socket } from "../src/appengine.js";
import { FakeBrowser } from "./helpers/fake-browser.js";
import { settle } from "./helpers/manual-clock.js";

interface AppEngineChannel {
  open(handler?: Handler | null): Socket;
}

interface AppEngine {
  Channel: {
    new (token: unknown): AppEngineChannel;
    (token: unknown): AppEngineChannel;
    prototype: AppEngineChannel;
  };
  Socket: typeof Socket;
}

function load(goog?: object) {
  const browser = new FakeBrowser();
  browser.platform.fetch = undefined; // WebSocket only
  const root: { goog?: unknown } = goog ? { goog } : {};
  install(root, "https://push.example", browser.platform);
  const { appengine } = root.goog as { appengine: AppEngine };
  return { browser, clock: browser.clock, appengine, goog: root.goog as Record<string, unknown> };
}

/** A socket, and a function that returns the handler calls since the last call. */
function open(token: unknown = "h.p.s") {
  const all = load();
  const events: unknown[][] = [];
  const handler: Record<string, (event: unknown) => void> = {};
  for (const name of ["onopen", "onmessage", "onerror", "onclose"]) {
    handler[name] = (event) => events.push([name, event]);
  }
  const socket = new all.appengine.Channel(token).open(handler);
  return { ...all, socket, takeEvents: () => events.splice(0) };
}

async function opened() {
  const all = open();
  await settle();
  all.browser.socket.open();
  all.takeEvents();
  return all;
}

test("opens, receives, closes", async () => {
  const { browser, socket, takeEvents } = open();
  assert.ok(socket instanceof Socket);
  assert.equal(socket.readyState, 0);
  assert.deepEqual(takeEvents(), [], "no handler is called inside open()");
  await settle();
  assert.equal(browser.socket.url, "wss://push.example/v1/connect");
  browser.socket.open();
  assert.equal(socket.readyState, 1);
  browser.socket.message("101-0", "hi");
  assert.deepEqual(takeEvents(), [
    ["onopen", {}],
    ["onmessage", { data: "hi" }],
  ]);
  socket.close();
  socket.close();
  assert.equal(socket.readyState, 2);
  assert.deepEqual(takeEvents(), [], "onclose is called later");
  await settle();
  assert.equal(socket.readyState, 3);
  assert.deepEqual(takeEvents(), [["onclose", {}]]);
});

test("ReadyState has the four names", () => {
  const { appengine } = load();
  assert.deepEqual(appengine.Socket.ReadyState, { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });
});

const TOKEN_ERRORS: [number, string][] = [
  [4001, "Invalid+token."],
  [4002, "Token+timed+out."],
  [4003, "Token+revoked."],
];
for (const [code, description] of TOKEN_ERRORS) {
  test(`${description} calls onerror with 401, then onclose, before or after opening`, async () => {
    for (const begin of [open, opened]) {
      const { browser, clock, socket, takeEvents } = await begin();
      await settle();
      browser.socket.closeByServer(code, "reason");
      assert.deepEqual(takeEvents(), [
        ["onerror", { description, code: 401 }],
        ["onclose", {}],
      ]);
      assert.equal(socket.readyState, 3);
      await clock.advance(3_600_000);
      assert.equal(browser.sockets.length, 1, "it stays closed");
      socket.close();
      await settle();
      assert.deepEqual(takeEvents(), []);
    }
  });
}

test("an invalid token fails without a connection, and not inside open()", async () => {
  for (const token of ["", "not a token", undefined, null, 7.5, {}]) {
    const { browser, takeEvents } = open(token);
    assert.deepEqual(takeEvents(), []);
    await settle();
    // String() may turn the others into something like a token. Then the server decides.
    if (browser.sockets.length) browser.socket.closeByServer(4001);
    assert.deepEqual(takeEvents(), [
      ["onerror", { description: "Invalid+token.", code: 401 }],
      ["onclose", {}],
    ]);
  }
});

test("replaced by a newer session", async () => {
  const { browser, takeEvents } = await opened();
  browser.socket.closeByServer(4009, "replaced by a newer session: do not reconnect");
  assert.deepEqual(takeEvents(), [
    ["onerror", { description: "replaced by a newer session: do not reconnect", code: 4009 }],
    ["onclose", {}],
  ]);
});

test("a lost connection is reopened without the page noticing", async () => {
  const { browser, clock, socket, takeEvents } = await opened();
  browser.socket.message("101-0", "a");
  for (const code of [1006, 1012, 4008, 4029]) {
    browser.socket.closeByServer(code);
    assert.equal(socket.readyState, 1);
    await clock.advance(clock.untilNext);
    assert.match(browser.socket.url, /last_id=101-0$/);
    browser.socket.open({ recovered: true });
    browser.socket.message("101-0", "a");
  }
  browser.socket.sendRaw("{");
  browser.socket.sendFrame({ type: "gap", after: "101-0", before: "103-0" });
  browser.socket.message("104-0", "b");
  assert.deepEqual(takeEvents(), [
    ["onmessage", { data: "a" }],
    ["onmessage", { data: "b" }],
  ]);
});

test("a full server is tried again", async () => {
  const { browser, clock, takeEvents } = open();
  await settle();
  browser.socket.closeByServer(4029);
  await clock.advance(clock.untilNext);
  browser.socket.open();
  assert.deepEqual(takeEvents(), [["onopen", {}]]);
});

test("handlers are copied at open() and read when an event fires", async () => {
  const { browser, appengine } = load();
  const calls: string[] = [];
  const handler: Handler = { onmessage: () => calls.push("old") };
  const socket = new appengine.Channel("h.p.s").open(handler);
  assert.equal(socket.onmessage, handler.onmessage);
  handler.onmessage = () => calls.push("changed in the argument");
  await settle();
  browser.socket.open();
  browser.socket.message("101-0");
  socket.onmessage = () => calls.push("new");
  browser.socket.message("102-0");
  assert.deepEqual(calls, ["old", "new"]);
});

test("handlers assigned after open() are called with the socket as this", async () => {
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
  browser.socket.closeByServer(4003);
  assert.deepEqual(calls, ["onopen", true, "onmessage", true, "onerror", true, "onclose", true]);
});

test("missing and invalid handlers are tolerated", async () => {
  for (const handler of [undefined, null, {}, { onopen: null }, { onopen: "text" } as unknown as Handler]) {
    const { browser, appengine } = load();
    const socket = new appengine.Channel("h.p.s").open(handler);
    await settle();
    browser.socket.open();
    browser.socket.message("101-0");
    browser.socket.closeByServer(4001);
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
    const { browser, socket, takeEvents } = await opened();
    socket.onmessage = () => {
      throw new Error("error in the page");
    };
    browser.socket.message("101-0");
    browser.socket.message("102-0");
    browser.socket.closeByServer(4003);
    await reported;
    assert.deepEqual(thrown, ["error in the page", "error in the page"]);
    assert.deepEqual(
      takeEvents().map(([name]) => name),
      ["onerror", "onclose"],
    );
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const listener of listeners) process.on("uncaughtException", listener);
  }
});

test("open() returns a new socket each time, and a page may have many", async () => {
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
  const calls: unknown[] = [];
  second.onmessage = ({ data }) => calls.push(["second", data]);
  other.onmessage = ({ data }) => calls.push(["other", data]);
  const [, secondSocket, otherSocket] = browser.sockets;
  assert.deepEqual(otherSocket?.protocols[1], "headrace.token.o.t.h");
  secondSocket?.open();
  otherSocket?.open();
  secondSocket?.message("101-0", "a");
  otherSocket?.message("101-0", "b");
  assert.deepEqual(calls, [
    ["second", "a"],
    ["other", "b"],
  ]);
});

test("send() posts to the server with the token", async () => {
  const { browser, socket, takeEvents } = await opened();
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
  assert.deepEqual(takeEvents(), [["onerror", { description: "HTTP 403", code: 403 }]]);
  assert.equal(socket.readyState, 1, "a failed send does not close the socket");
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

test("Channel.prototype.open is a method, as in App Engine's script", async () => {
  const { browser, appengine } = load();
  assert.equal(typeof appengine.Channel.prototype.open, "function");
  const opened: unknown[] = [];
  const { open } = appengine.Channel.prototype;
  appengine.Channel.prototype.open = function (handler) {
    opened.push(this);
    return open.call(this, handler);
  };
  const channel = appengine.Channel("h.p.s");
  channel.open();
  assert.deepEqual(opened, [channel], "a page may replace it");
  function Derived(this: unknown, token: string) {
    appengine.Channel.call(this as never, token);
  }
  Derived.prototype = Object.create(appengine.Channel.prototype);
  await settle();
  new (Derived as unknown as AppEngine["Channel"])("d.e.r").open();
  await settle();
  assert.deepEqual(
    browser.sockets.map(({ protocols }) => protocols[1]),
    ["headrace.token.h.p.s", "headrace.token.d.e.r"],
  );
});

test("Socket.Handler constructs a handler object, also as a base", async () => {
  const { browser, appengine } = load();
  const handler = new appengine.Socket.Handler();
  assert.ok(handler instanceof appengine.Socket.Handler);
  const events: object[] = [];
  handler.onmessage = (event) => events.push(event);
  appengine.Socket.Handler.call(Object.create(appengine.Socket.Handler.prototype));
  new appengine.Channel("h.p.s").open(handler);
  await settle();
  browser.socket.open();
  browser.socket.message("101-0", "hi");
  assert.deepEqual(events, [{ data: "hi" }]);
});

test("new Socket() names what to use instead", () => {
  const { appengine } = load();
  const construct = appengine.Socket as unknown as new (token?: string) => unknown;
  const error = { name: "TypeError", message: "use new goog.appengine.Channel(token).open()" };
  assert.throws(() => new construct(), error);
  assert.throws(() => new construct("h.p.s"), error);
});
