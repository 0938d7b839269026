// A laptop that sleeps, in short; sleep.mjs has the long form.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CUTS, missingForNetwork } from "./network.mjs";
import { faultsOf, sleepThrough, startLaptop } from "./sleep.mjs";

const PING_INTERVAL_MS = 1_000;
const missing = missingForNetwork();
const skip = missing ? `it ${missing}` : false;
let laptop;

before(async () => {
  if (!skip)
    laptop = await startLaptop({ env: { HEADRACE_PING_INTERVAL_S: String(PING_INTERVAL_MS / 1000) } });
});

after(() => laptop?.stop());

const FORMS = [
  { how: CUTS.silent, cutMs: 5_000, what: "the way to the server drops everything, and nobody is told" },
  { how: CUTS.down, cutMs: 3_500, what: "its interface goes down, and the browser knows" },
];
for (const { how, cutMs, what } of FORMS) {
  test(`${what}: both sides notice, then pages have everything soon`, { skip }, async (t) => {
    const rows = await sleepThrough({ laptop, how, cutMs, pingIntervalMs: PING_INTERVAL_MS });
    for (const { client, pageNoticedMs, serverNoticedMs, hasAllMs } of rows) {
      const noticed = `noticed by the page after ${pageNoticedMs ?? "-"} ms, by the server after ${serverNoticedMs} ms`;
      t.diagnostic(`${client}: ${noticed}; everything ${hasAllMs} ms after it was back`);
    }
    assert.deepEqual(
      rows.flatMap((row) => faultsOf(row, cutMs)),
      [],
    );
  });
}
