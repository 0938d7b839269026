import assert from "node:assert/strict";
import { test } from "node:test";
import { selectTransports } from "../../src/transports/select.js";
import type { TransportName } from "../../src/transports/transport.js";
import { FakeBrowser } from "../helpers/fake-browser.js";

const namesOf = (browser: FakeBrowser, names?: readonly TransportName[]) =>
  selectTransports(browser.platform, names).map(({ name }) => name);

test("all transports, or the given ones in the given order", () => {
  assert.deepEqual(namesOf(new FakeBrowser()), ["websocket", "sse", "poll"]);
  assert.deepEqual(namesOf(new FakeBrowser(), ["poll", "websocket"]), ["poll", "websocket"]);
});

test("transports that the browser lacks are left out", () => {
  const browser = new FakeBrowser();
  browser.platform.WebSocket = undefined;
  assert.deepEqual(namesOf(browser), ["sse", "poll"]);
  browser.platform.fetch = undefined;
  assert.throws(() => namesOf(browser), /this browser has none of them/);
});

test("an unknown name throws", () => {
  assert.throws(
    () => namesOf(new FakeBrowser(), ["carrier pigeon" as TransportName]),
    /transports has carrier pigeon; it may have websocket, sse, poll/,
  );
});
