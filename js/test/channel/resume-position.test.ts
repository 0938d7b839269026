import assert from "node:assert/strict";
import { test } from "node:test";
import { ResumePosition } from "../../src/channel/resume-position.js";
import type { SessionInfo } from "../../src/protocol/frames.js";
import { tokenWith } from "../helpers/recorder.js";

const session = (id: string | null, recovered: boolean | null = null): SessionInfo => ({
  clientId: "ann",
  id,
  recovered,
  expiresAt: null,
  pingIntervalMs: 25_000,
});

test("accepts a message once, and in order only", () => {
  const position = new ResumePosition(null);
  assert.equal(position.accept("101-0"), true);
  assert.equal(position.accept("101-0"), false);
  assert.equal(position.accept("100-9"), false);
  assert.equal(position.lastId, "101-0");
});

test("the given id counts as delivered", () => {
  const position = new ResumePosition("99-0");
  assert.equal(position.lastId, "99-0");
  assert.equal(position.accept("99-0"), false);
});

test("the start of a connection moves the position forward only", () => {
  const position = new ResumePosition(null);
  position.startFrom(session(null));
  assert.equal(position.lastId, null);
  position.startFrom(session("100-0"));
  position.startFrom(session("90-0"));
  assert.equal(position.lastId, "100-0");
  assert.equal(position.accept("95-0"), true, "only delivered messages are duplicates");
});

test("a lower id with recovered false means that the ids started again", () => {
  const position = new ResumePosition("500-0");
  position.startFrom(session("3-0", true));
  assert.equal(position.lastId, "500-0");
  position.startFrom(session("3-0", false));
  assert.equal(position.lastId, "3-0");
  assert.equal(position.accept("4-0"), true);
});

test("since is the start of the first uncertain connection", () => {
  const position = new ResumePosition(null);
  position.markUncertain("not a token");
  assert.equal(position.since, null);
  position.markUncertain(tokenWith({ pos: "90-0" }));
  position.markUncertain(tokenWith({ pos: "91-0" }));
  assert.equal(position.since, "90-0");
});
