/** The built files, in a window with only the APIs that they use. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { FakeSocket } from "./helpers/fake-network.js";
import { settle } from "./helpers/manual-clock.js";

const served = (name: string) => readFile(join(process.cwd(), "../core/headrace/static", name), "utf8");

/** A window with a document that has no body, and no fetch, locks or storage. */
function page(scriptUrl: string | null) {
  const sockets: FakeSocket[] = [];
  class WebSocket extends FakeSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols);
      sockets.push(this);
    }
  }
  const window: Record<string, unknown> = {
    WebSocket,
    URL,
    setTimeout,
    clearTimeout,
    location: { href: "https://page.example/chat" },
    document: {
      body: null,
      currentScript: scriptUrl === null ? null : { src: scriptUrl },
      addEventListener() {},
      removeEventListener() {},
    },
    addEventListener() {},
    removeEventListener() {},
    get sessionStorage(): never {
      throw new Error("SecurityError");
    },
  };
  window.window = window.self = window;
  return { sockets, context: createContext(window) };
}

for (const [scriptUrl, endpoint] of [
  ["https://push.example:8443/_ah/channel/jsapi", "wss://push.example:8443/v1/connect"],
  ["https://page.example/_ah/channel/jsapi", "wss://page.example/v1/connect"],
  [null, "wss://page.example/v1/connect"],
] as const) {
  test(`jsapi.js from ${scriptUrl} connects to ${endpoint}`, async () => {
    const { sockets, context } = page(scriptUrl);
    runInContext(await served("jsapi.js"), context);
    runInContext(
      `calls = [];
       socket = new goog.appengine.Channel("h.p.s").open({onopen: () => calls.push("open")});
       socket.onmessage = function (event) { calls.push(event.data, this === socket); };
       socket.onclose = () => calls.push("close");`,
      context,
    );
    await settle();
    const [socket] = sockets;
    assert.equal(socket?.url, endpoint);
    socket?.open();
    socket?.message("101-0", "hi");
    runInContext("socket.close()", context);
    await settle();
    assert.equal(runInContext("calls.join()", context), "open,hi,true,close");
    assert.equal(runInContext("socket.readyState", context), 3);
  });
}

test("jsapi.js adds one global", async () => {
  const { context } = page(null);
  const before = Object.keys(context);
  runInContext(await served("jsapi.js"), context);
  assert.deepEqual(
    Object.keys(context).filter((key) => !before.includes(key)),
    ["goog"],
  );
});

test("both files start with the version and licence, and are small", async () => {
  for (const name of ["headrace.js", "jsapi.js"]) {
    const text = await served(name);
    assert.match(text, /^\/\*! headrace \d+\.\d+\.\d+ \| MIT License \*\//);
    assert.ok(text.length < 24_000, `${name} has ${text.length} characters`);
  }
});

test("headrace.js exports the client", async () => {
  const text = await served("headrace.js");
  const module = await import(`data:text/javascript,${encodeURIComponent(text)}`);
  assert.deepEqual(Object.keys(module).sort(), [
    "Channel",
    "ChannelCloseEvent",
    "ChannelErrorEvent",
    "ChannelGapEvent",
    "ChannelMessageEvent",
    "ChannelOpenEvent",
    "SendError",
  ]);
});
