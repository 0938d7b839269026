import assert from "node:assert/strict";
import { test } from "node:test";
import { Ladder } from "../src/ladder.js";
import type { Transport, TransportName } from "../src/transport.js";
import { MemoryStorage } from "./fakes.js";

const [A, B, C] = (["websocket", "sse", "poll"] as const).map((name: TransportName): Transport => {
  return {
    name,
    connect: () => {
      throw new Error("not connected in these tests");
    },
  };
}) as [Transport, Transport, Transport];
const URL = "https://push.example";

test("goes down a rung at a failure, and round again", () => {
  const ladder = new Ladder([A, B, C], null, URL);
  const names = [];
  for (let i = 0; i < 4; i++) {
    names.push(ladder.current.name);
    ladder.failed();
  }
  assert.deepEqual(names, ["websocket", "sse", "poll", "websocket"]);
});

test("one that has worked may fail twice", () => {
  const ladder = new Ladder([A, B], null, URL);
  ladder.worked();
  ladder.failed();
  ladder.failed();
  assert.equal(ladder.current, A);
  ladder.failed();
  assert.equal(ladder.current, B);
  ladder.failed();
  assert.equal(ladder.current, A);
  ladder.failed();
  assert.equal(ladder.current, B, "it is not proven any more");
});

test("remembers what worked, for each server", () => {
  const storage = new MemoryStorage();
  const ladder = new Ladder([A, B, C], storage, URL);
  ladder.failed();
  ladder.worked();
  const next = new Ladder([A, B, C], storage, URL);
  assert.equal(next.current, B);
  next.failed();
  next.failed();
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
    ladder.worked();
    assert.equal(ladder.current, A);
  }
});

test("begins at the top again", () => {
  const ladder = new Ladder([A, B, C], null, URL);
  ladder.failed();
  ladder.failed();
  ladder.restart();
  assert.equal(ladder.current, A);
});
