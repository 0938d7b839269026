import assert from "node:assert/strict";
import { test } from "node:test";
import { Ladder } from "../src/ladder.js";
import type { Transport, TransportName } from "../src/transport.js";
import { MemoryStorage, settle } from "./fakes.js";

const [A, B, C] = (["websocket", "sse", "poll"] as const).map((name: TransportName): Transport => {
  return {
    name,
    connect: () => {
      throw new Error("not connected in these tests");
    },
  };
}) as [Transport, Transport, Transport];
const URL = "https://push.example";
const answered = async () => {};
const unanswered = async () => {
  throw new TypeError("Failed to fetch");
};

test("goes down a rung at a failure, and round again", () => {
  const ladder = new Ladder([A, B, C], null, URL);
  const names = [];
  for (let i = 0; i < 4; i++) {
    names.push(ladder.current.name);
    ladder.failed(unanswered);
  }
  assert.deepEqual(names, ["websocket", "sse", "poll", "websocket"]);
});

test("one that has worked may fail twice", async () => {
  const ladder = new Ladder([A, B], null, URL);
  ladder.worked(A);
  ladder.failed(answered);
  await settle();
  ladder.failed(answered);
  await settle();
  assert.equal(ladder.current, A);
  ladder.failed(answered);
  assert.equal(ladder.current, B);
  ladder.failed(unanswered);
  assert.equal(ladder.current, A);
  ladder.failed(unanswered);
  assert.equal(ladder.current, B, "it is not proven any more");
});

test("one that has worked is not to blame while nobody can be reached", async () => {
  const ladder = new Ladder([A, B], null, URL);
  ladder.worked(A);
  for (let i = 0; i < 50; i++) {
    ladder.failed(unanswered);
    await settle();
  }
  assert.equal(ladder.current, A);
  ladder.failed(answered); // reached again: it has one more try
  await settle();
  assert.equal(ladder.current, A);
  ladder.failed(answered);
  assert.equal(ladder.current, B);
});

test("an answer that comes when it has worked again is no reason to go down", async () => {
  const ladder = new Ladder([A, B], null, URL);
  ladder.worked(A);
  ladder.failed(answered);
  ladder.failed(answered);
  ladder.worked(A);
  await settle();
  ladder.failed(unanswered);
  assert.equal(ladder.current, A);
});

test("one that connected when it was given up already is taken", () => {
  const ladder = new Ladder([A, B], null, URL);
  ladder.failed(unanswered);
  assert.equal(ladder.current, B);
  ladder.worked(A);
  assert.equal(ladder.current, A);
});

test("remembers what worked, for each server", () => {
  const storage = new MemoryStorage();
  const ladder = new Ladder([A, B, C], storage, URL);
  ladder.failed(unanswered);
  ladder.worked(B);
  const next = new Ladder([A, B, C], storage, URL);
  assert.equal(next.current, B);
  next.failed(answered);
  next.failed(answered);
  assert.equal(next.current, B, "what is remembered is proven");
  assert.equal(new Ladder([A, B, C], storage, "https://other.example").current, A);
  assert.equal(new Ladder([A, C], storage, URL).current, A, "one that is not wanted now is forgotten");
});

test("does without a storage, and with one that throws", () => {
  const broken = {
    getItem: () => {
      throw new Error("forbidden");
    },
    setItem: () => {
      throw new Error("full");
    },
  };
  for (const storage of [null, broken]) {
    const ladder = new Ladder([A, B], storage, URL);
    ladder.worked(A);
    assert.equal(ladder.current, A);
  }
});

test("begins at the top again", () => {
  const ladder = new Ladder([A, B, C], null, URL);
  ladder.failed(unanswered);
  ladder.failed(unanswered);
  ladder.restart();
  assert.equal(ladder.current, A);
});
