// Losslessness in pages, in short; lossless.mjs has the long form.

import assert from "node:assert/strict";
import { test } from "node:test";
import { report, run, SHORT } from "./lossless.mjs";
import { judge } from "./stream.mjs";

test("pages have every message once and in order, through faults and restarts; a crash is told once", async (t) => {
  const outcome = await run(SHORT);
  if (outcome.faults.length) report(outcome);
  const { rows, happened, accepted } = outcome;
  const sum = (name) => rows.reduce((total, row) => total + row[name], 0);
  t.diagnostic(
    `${accepted} messages for ${rows.length} pages: ${sum("received")} of ${sum("expected")} received`,
  );
  t.diagnostic(
    `${sum("told")} went with the crash, of which each page was told; ${JSON.stringify(happened)}`,
  );
  assert.deepEqual(outcome.faults, []);
  assert.deepEqual([happened.restart, happened.handover, happened.kill], [1, 1, 1]);
});

/** A page that received these ids, with all else as it should be. */
function verdictOn(ids, { gaps = [], crashes = [] } = {}) {
  const sent = new Map();
  for (const key of [1, 2, 3, 4]) {
    const answered = `${String(key * 10).padStart(20, "0")}-${"0".repeat(20)}`;
    const audience = new Set(["ann"]);
    sent.set(String(key), { key: String(key), data: `${key} text`, audience, lives: new Set([1]), answered });
  }
  const notes = ids.map((id) => ({ type: "message", id: `${id}-0`, data: `${id / 10} text` }));
  for (const [after, before] of gaps) notes.push({ type: "gap", after: `${after}-0`, before: `${before}-0` });
  const page = { client: "ann", name: "page", began: "0-0", notes };
  return judge([page], sent, crashes).faults.map((fault) => fault.replace(/0{9,}/g, ""));
}

test("the verdict finds what is lost, doubled or out of order, and gaps that are told wrongly", () => {
  assert.deepEqual(verdictOn([10, 20, 30, 40]), []);
  assert.deepEqual(verdictOn([10, 20, 40]), ["page: message 3 (30-) is missing, and nobody said so"]);
  assert.deepEqual(verdictOn([10, 20, 20, 30, 40]), ["page: 1 messages came twice"]);
  assert.deepEqual(verdictOn([10, 30, 20, 40]), ["page: 1 messages came after a later one"]);
  assert.match(verdictOn([10, 20, 30, 40, 50])[0], /is not for this page/);
  const crashes = ["25-0"];
  assert.deepEqual(verdictOn([10, 20, 40], { gaps: [[20, 35]], crashes }), []);
  assert.match(verdictOn([10, 20, 30, 40], { crashes })[0], /was told 0 times/);
  assert.match(
    verdictOn([10, 20, 40], {
      gaps: [
        [20, 35],
        [20, 35],
      ],
      crashes,
    })[0],
    /was told 2 times/,
  );
  assert.match(verdictOn([10, 20, 40], { gaps: [[20, 35]] })[0], /was told without a reason/);
  assert.match(verdictOn([10, 20, 40], { gaps: [[10, 35]], crashes })[0], /holds what was received/);
});
