import assert from "node:assert/strict";
import { test } from "node:test";
import { readClaims } from "../../src/protocol/token.js";
import { tokenWith } from "../helpers/recorder.js";

test("reads the claims of a token, in any characters", () => {
  const claims = { sub: "äöü/?&=+ 漢字 🙂", exp: 1_800_000_000, groups: ["a"], pos: "1-0" };
  assert.deepEqual(readClaims(tokenWith(claims)), claims);
  for (let size = 0; size < 8; size++)
    assert.deepEqual(readClaims(tokenWith({ sub: "~?>".repeat(size) })).sub, "~?>".repeat(size));
});

test("a token that cannot be decoded has no claims", () => {
  for (const token of ["", "x", "a.b.c", "a.!!!.c", "..", tokenWith([]).replace(/\..*\./, ".bnVsbA.")]) {
    assert.deepEqual(readClaims(token), {});
  }
});
