import assert from "node:assert/strict";
import { test } from "node:test";
import { renewalDelay } from "../src/renewal.js";
import { seededRandom } from "./fakes.js";

const NOW_MS = 1_700_000_000_000;
const NOW_S = NOW_MS / 1000;

test("renews between 75 and 95 % of the remaining life", () => {
  const random = seededRandom(7);
  const delays = Array.from({ length: 500 }, () => renewalDelay(NOW_S + 7200, NOW_MS, random()) ?? 0);
  assert.ok(Math.min(...delays) >= 0.75 * 7_200_000);
  assert.ok(Math.max(...delays) < 0.95 * 7_200_000);
  assert.ok(Math.max(...delays) - Math.min(...delays) > 0.15 * 7_200_000, "clients do not renew together");
});

test("what is nearly over, or over by a wrong clock, is left to the server", () => {
  for (const left of [4, 0, -1, -1e9]) assert.equal(renewalDelay(NOW_S + left, NOW_MS, 0.5), null);
});

test("a clock that is years behind does not overflow a timer", () => {
  const delay = renewalDelay(NOW_S + 1e9, NOW_MS, 0.999);
  assert.ok(delay !== null && delay < 2 ** 31);
});
