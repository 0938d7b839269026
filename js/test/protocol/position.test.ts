import assert from "node:assert/strict";
import { test } from "node:test";
import { comparePositions, isPosition } from "../../src/protocol/position.js";

test("ids compare as pairs of numbers", () => {
  const ordered = [
    "0-0",
    "0-1",
    "0-10",
    "9-0",
    "10-0",
    "10-2",
    "10-10",
    "1732412345678-0",
    "1732412345678-9007199254740992",
    "1732412345678-9007199254740993", // not exact as a JavaScript number
    "18446744073709551615-18446744073709551615",
  ];
  for (const [i, a] of ordered.entries()) {
    for (const [j, b] of ordered.entries()) {
      assert.equal(Math.sign(comparePositions(a, b)), Math.sign(i - j), `${a} ${b}`);
    }
  }
});

test("valid and invalid ids", () => {
  for (const good of ["0-0", "1732412345678-0", "18446744073709551615-18446744073709551615"]) {
    assert.ok(isPosition(good), good);
  }
  for (const bad of [
    "",
    "-",
    "1",
    "1-",
    "-1",
    "01-0",
    "1-00",
    "1-0 ",
    " 1-0",
    "1-0-0",
    "a-b",
    1,
    null,
    undefined,
    {},
  ]) {
    assert.ok(!isPosition(bad), String(bad));
  }
});
