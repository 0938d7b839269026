import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { seededRandom } from "./fakes.js";

const LIMITS_MS = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];

test("waits are spread from 0 to a limit that doubles up to 30 s", () => {
  const seen = LIMITS_MS.map(() => ({ least: Infinity, most: 0 }));
  for (let seed = 0; seed < 500; seed++) {
    const backoff = new Backoff(seededRandom(seed));
    for (const [i, limit] of LIMITS_MS.entries()) {
      const wait = backoff.next();
      assert.ok(wait >= 0 && wait < limit, `${wait} ${limit}`);
      const bounds = seen[i];
      assert.ok(bounds);
      bounds.least = Math.min(bounds.least, wait);
      bounds.most = Math.max(bounds.most, wait);
    }
  }
  for (const [i, limit] of LIMITS_MS.entries()) {
    assert.ok((seen[i]?.least ?? limit) < limit * 0.05, "reaches down to 0");
    assert.ok((seen[i]?.most ?? 0) > limit * 0.95, "reaches up to the limit");
  }
});

test("a success begins anew", () => {
  const backoff = new Backoff(() => 0.5);
  assert.ok(backoff.fresh);
  backoff.next();
  backoff.next();
  assert.ok(!backoff.fresh);
  backoff.reset();
  assert.ok(backoff.fresh);
  assert.equal(backoff.next(), 250);
});

test("a full server is asked later from the first time on", () => {
  const backoff = new Backoff(() => 0.5);
  assert.equal(backoff.next(true), 2_000);
  assert.equal(backoff.next(true), 4_000);
});

test("thousands of tries do not overflow", () => {
  const backoff = new Backoff(() => 0.5);
  for (let i = 0; i < 5_000; i++) backoff.next();
  assert.equal(backoff.next(), 15_000);
});
