// Short runs of sleep.mjs.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { missingForNetwork, OUTAGES } from "./helpers/laptop_network.mjs";
import { sleepThrough, startLaptop, violationsOf } from "./sleep.mjs";

const PING_INTERVAL_MS = 1_000;
const missing = missingForNetwork();
const skip = missing ? `this test ${missing}` : false;
let laptop;

before(async () => {
  if (!skip)
    laptop = await startLaptop({ env: { HEADRACE_PING_INTERVAL_S: String(PING_INTERVAL_MS / 1000) } });
});

after(() => laptop?.stop());

for (const { outage, outageMs, title } of [
  { outage: OUTAGES.silent, outageMs: 5_000, title: "the network drops all packets without notice" },
  { outage: OUTAGES.down, outageMs: 3_500, title: "the network interface of the laptop goes down" },
]) {
  test(`${title}: both sides notice, then the pages catch up`, { skip }, async (t) => {
    const rows = await sleepThrough({ laptop, outage, outageMs, pingIntervalMs: PING_INTERVAL_MS });
    for (const { client, pageNoticedMs, serverNoticedMs, caughtUpMs } of rows) {
      t.diagnostic(
        `${client}: noticed by the page after ${pageNoticedMs ?? "-"} ms,` +
          ` by the server after ${serverNoticedMs} ms; caught up after ${caughtUpMs} ms`,
      );
    }
    assert.deepEqual(
      rows.flatMap((row) => violationsOf(row, outageMs)),
      [],
    );
  });
}
