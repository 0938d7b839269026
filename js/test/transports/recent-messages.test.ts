import assert from "node:assert/strict";
import { test } from "node:test";
import { RECENT_MAX_CHARACTERS, RECENT_MAX_MESSAGES } from "../../src/transports/limits.js";
import { RecentMessages } from "../../src/transports/recent-messages.js";

const message = (id: string, data = "x") => ({ id, data });

test("without a known start it covers nothing", () => {
  const recent = new RecentMessages();
  recent.push(message("101-0"));
  assert.equal(recent.covers("101-0"), false);
});

test("covers every id from the floor on, and returns the messages after it", () => {
  const recent = new RecentMessages();
  recent.clear("100-0");
  for (const id of ["101-0", "102-0", "103-0"]) recent.push(message(id));
  assert.equal(recent.covers("99-0"), false);
  assert.equal(recent.covers("100-0"), true);
  assert.deepEqual(recent.after("101-0"), [message("102-0"), message("103-0")]);
  recent.clear("200-0");
  assert.equal(recent.covers("103-0"), false);
  assert.deepEqual(recent.after("0-0"), []);
});

test("the oldest messages are removed over either limit, which moves the floor", () => {
  const recent = new RecentMessages();
  recent.clear("100-0");
  for (let i = 1; i <= RECENT_MAX_MESSAGES + 1; i++) recent.push(message(`101-${i}`));
  assert.equal(recent.floor, "101-1");
  assert.equal(recent.after("0-0").length, RECENT_MAX_MESSAGES);
  recent.push(message("102-0", "x".repeat(RECENT_MAX_CHARACTERS)));
  assert.deepEqual(
    recent.after("0-0").map(({ id }) => id),
    ["102-0"],
  );
});
