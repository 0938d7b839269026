import assert from "node:assert/strict";
import { test } from "node:test";
import { TransportFallback } from "../../src/transports/fallback.js";
import type { Transport, TransportName } from "../../src/transports/transport.js";
import { MemoryStorage } from "../helpers/fake-browser.js";
import { settle } from "../helpers/manual-clock.js";

const [A, B, C] = (["websocket", "sse", "poll"] as const).map((name: TransportName): Transport => {
  return {
    name,
    connect: () => {
      throw new Error("not connected in these tests");
    },
  };
}) as [Transport, Transport, Transport];
const SERVER_URL = "https://push.example";
const reachable = async () => {};
const unreachable = async () => {
  throw new TypeError("Failed to fetch");
};

test("selects the next transport after a failure, and the first after the last", () => {
  const fallback = new TransportFallback([A, B, C], null, SERVER_URL);
  const names = [];
  for (let i = 0; i < 4; i++) {
    names.push(fallback.current.name);
    fallback.recordFailure(unreachable);
  }
  assert.deepEqual(names, ["websocket", "sse", "poll", "websocket"]);
});

test("a proven transport may fail twice", async () => {
  const fallback = new TransportFallback([A, B], null, SERVER_URL);
  fallback.recordSuccess(A);
  fallback.recordFailure(reachable);
  await settle();
  fallback.recordFailure(reachable);
  await settle();
  assert.equal(fallback.current, A);
  fallback.recordFailure(reachable);
  assert.equal(fallback.current, B);
  fallback.recordFailure(unreachable);
  assert.equal(fallback.current, A);
  fallback.recordFailure(unreachable);
  assert.equal(fallback.current, B, "no longer proven");
});

test("a proven transport is kept while the server cannot be reached", async () => {
  const fallback = new TransportFallback([A, B], null, SERVER_URL);
  fallback.recordSuccess(A);
  for (let i = 0; i < 50; i++) {
    fallback.recordFailure(unreachable);
    await settle();
  }
  assert.equal(fallback.current, A);
  fallback.recordFailure(reachable); // reached again: one more attempt
  await settle();
  assert.equal(fallback.current, A);
  fallback.recordFailure(reachable);
  assert.equal(fallback.current, B);
});

test("a probe answered after a success does not change the transport", async () => {
  const fallback = new TransportFallback([A, B], null, SERVER_URL);
  fallback.recordSuccess(A);
  fallback.recordFailure(reachable);
  fallback.recordFailure(reachable);
  fallback.recordSuccess(A);
  await settle();
  fallback.recordFailure(unreachable);
  assert.equal(fallback.current, A);
});

test("a transport that connects after it was given up is selected again", () => {
  const fallback = new TransportFallback([A, B], null, SERVER_URL);
  fallback.recordFailure(unreachable);
  assert.equal(fallback.current, B);
  fallback.recordSuccess(A);
  assert.equal(fallback.current, A);
});

test("stores the transport that worked, per server", () => {
  const storage = new MemoryStorage();
  const fallback = new TransportFallback([A, B, C], storage, SERVER_URL);
  fallback.recordFailure(unreachable);
  fallback.recordSuccess(B);
  const next = new TransportFallback([A, B, C], storage, SERVER_URL);
  assert.equal(next.current, B);
  next.recordFailure(reachable);
  next.recordFailure(reachable);
  assert.equal(next.current, B, "a stored transport is proven");
  assert.equal(new TransportFallback([A, B, C], storage, "https://other.example").current, A);
  assert.equal(
    new TransportFallback([A, C], storage, SERVER_URL).current,
    A,
    "a stored transport that is not in the list is ignored",
  );
});

test("works without storage, and with storage that throws", () => {
  const broken = {
    getItem: () => {
      throw new Error("forbidden");
    },
    setItem: () => {
      throw new Error("full");
    },
  };
  for (const storage of [null, broken]) {
    const fallback = new TransportFallback([A, B], storage, SERVER_URL);
    fallback.recordSuccess(A);
    assert.equal(fallback.current, A);
  }
});

test("reset() selects the first transport", () => {
  const fallback = new TransportFallback([A, B, C], null, SERVER_URL);
  fallback.recordFailure(unreachable);
  fallback.recordFailure(unreachable);
  fallback.reset();
  assert.equal(fallback.current, A);
});
