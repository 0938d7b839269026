import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../src/channel/backoff.js";
import { seededRandom } from "../helpers/manual-clock.js";

const LIMITS_MS = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];

test("delays are spread from 0 to a limit that doubles up to 30 s", () => {
  const seen = LIMITS_MS.map(() => ({ least: Infinity, most: 0 }));
  for (let seed = 0; seed < 500; seed++) {
    const backoff = new Backoff(seededRandom(seed));
    for (const [i, limit] of LIMITS_MS.entries()) {
      const delayMs = backoff.nextDelayMs();
      assert.ok(delayMs >= 0 && delayMs < limit, `${delayMs} ${limit}`);
      const bounds = seen[i];
      assert.ok(bounds);
      bounds.least = Math.min(bounds.least, delayMs);
      bounds.most = Math.max(bounds.most, delayMs);
    }
  }
  for (const [i, limit] of LIMITS_MS.entries()) {
    assert.ok((seen[i]?.least ?? limit) < limit * 0.05, "reaches down to 0");
    assert.ok((seen[i]?.most ?? 0) > limit * 0.95, "reaches up to the limit");
  }
});

test("a success resets the delays", () => {
  const backoff = new Backoff(() => 0.5);
  assert.ok(backoff.isFirst);
  backoff.nextDelayMs();
  backoff.nextDelayMs();
  assert.ok(!backoff.isFirst);
  backoff.reset();
  assert.ok(backoff.isFirst);
  assert.equal(backoff.nextDelayMs(), 250);
});

test("a full server has longer delays from the first one on", () => {
  const backoff = new Backoff(() => 0.5);
  assert.equal(backoff.nextDelayMs(true), 2_000);
  assert.equal(backoff.nextDelayMs(true), 4_000);
});

test("thousands of attempts do not overflow", () => {
  const backoff = new Backoff(() => 0.5);
  for (let i = 0; i < 5_000; i++) backoff.nextDelayMs();
  assert.equal(backoff.nextDelayMs(), 15_000);
});
