/** The types of a channel's events. The type checker tests most of it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Channel } from "../../src/channel/channel.js";
import { ChannelEventTarget } from "../../src/channel/event-target.js";
import { FakeBrowser } from "../helpers/fake-browser.js";

const openChannel = () =>
  new Channel({ url: "https://push.example", token: "h.p.s" }, new FakeBrowser().platform);

test("an unknown event name is a type error", () => {
  const channel = openChannel();
  const listener = () => {};
  // @ts-expect-error: misspelt
  channel.addEventListener("mesage", listener);
  // @ts-expect-error: misspelt
  channel.removeEventListener("mesage", listener);
  // @ts-expect-error: a "gap" event has no `data`
  channel.addEventListener("gap", ({ data }) => assert.ok(data));
  // @ts-expect-error: `once` is misspelt
  channel.addEventListener("message", listener, { onc: true });
});

test("each event has its type, in all forms of a listener", () => {
  const channel = openChannel();
  channel.addEventListener("message", (event) => event.data.length + event.id.length);
  channel.addEventListener("open", async ({ transport }) => transport.length, { once: true });
  channel.addEventListener("gap", { handleEvent: ({ after }) => after?.length });
  channel.addEventListener("error", ({ code }) => code + 1, true);
  channel.addEventListener("close", null);
  channel.removeEventListener("close", null);
  const either: "open" | "close" = "open";
  channel.addEventListener(either, (event: Event) => event.type);
});

test("a channel is an EventTarget, which accepts any name", () => {
  const target: EventTarget = openChannel();
  assert.ok(target instanceof EventTarget);
  assert.equal(ChannelEventTarget, EventTarget);
  const types: string[] = [];
  const listener = ({ type }: Event) => types.push(type);
  target.addEventListener("of the application", listener);
  target.dispatchEvent(new Event("of the application"));
  target.removeEventListener("of the application", listener);
  target.dispatchEvent(new Event("of the application"));
  assert.deepEqual(types, ["of the application"]);
});
