// A short run of lossless.mjs, and tests of its verification.

import assert from "node:assert/strict";
import { test } from "node:test";
import { verify } from "./helpers/verification.mjs";
import { printReport, run, SHORT_RUN } from "./lossless.mjs";

test("pages receive every message once and in order through faults and restarts, and one report of a crash", async (t) => {
  const result = await run(SHORT_RUN);
  if (result.violations.length) printReport(result);
  const { rows, counts, accepted } = result;
  const sum = (column) => rows.reduce((total, row) => total + row[column], 0);
  t.diagnostic(
    `${accepted} messages for ${rows.length} pages: ${sum("received")} of ${sum("expected")} received`,
  );
  t.diagnostic(`${sum("reportedLosses")} losses after the crash were reported; ${JSON.stringify(counts)}`);
  assert.deepEqual(result.violations, []);
  assert.deepEqual([counts.restart, counts.handover, counts.kill], [1, 1, 1]);
});

/** Returns the violations of a page that received these IDs; messages 10, 20, 30 and 40 were sent to it. */
function violationsOf(ids, { gaps = [], crashes = [] } = {}) {
  const sent = new Map();
  for (const key of [1, 2, 3, 4]) {
    const acceptedId = `${String(key * 10).padStart(20, "0")}-${"0".repeat(20)}`;
    const recipients = new Set(["ann"]);
    const epochs = new Set([1]);
    sent.set(String(key), { key: String(key), data: `${key} text`, recipients, epochs, acceptedId });
  }
  const events = ids.map((id) => ({ type: "message", id: `${id}-0`, data: `${id / 10} text` }));
  for (const [after, before] of gaps)
    events.push({ type: "gap", after: `${after}-0`, before: `${before}-0` });
  const page = { client: "ann", name: "page", position: "0-0", events };
  return verify([page], sent, crashes).violations.map((violation) => violation.replace(/0{9,}/g, ""));
}

test("the verification finds lost, repeated and misplaced messages, and wrong gaps", () => {
  assert.deepEqual(violationsOf([10, 20, 30, 40]), []);
  assert.deepEqual(violationsOf([10, 20, 40]), ["page: message 3 (30-) is missing, and no gap was reported"]);
  assert.deepEqual(violationsOf([10, 20, 20, 30, 40]), ["page: 1 messages were received twice"]);
  assert.deepEqual(violationsOf([10, 30, 20, 40]), ["page: 1 messages were received after a later one"]);
  assert.match(violationsOf([10, 20, 30, 40, 50])[0], /is not for this page/);
  const crashes = ["25-0"];
  const gap = [20, 35];
  assert.deepEqual(violationsOf([10, 20, 40], { gaps: [gap], crashes }), []);
  assert.match(violationsOf([10, 20, 30, 40], { crashes })[0], /was reported 0 times/);
  assert.match(violationsOf([10, 20, 40], { gaps: [gap, gap], crashes })[0], /was reported 2 times/);
  assert.match(violationsOf([10, 20, 40], { gaps: [gap] })[0], /has no cause/);
  assert.match(violationsOf([10, 20, 40], { gaps: [[10, 35]], crashes })[0], /covers a received message/);
});
