import assert from "node:assert/strict";
import { test } from "node:test";
import { assertTransition, ConnectionState } from "../../src/channel/connection-state.js";

const { Waiting, Authorizing, Connecting, Open, Closed } = ConnectionState;

test("the way to an open connection and back", () => {
  for (const [from, to] of [
    [Waiting, Authorizing],
    [Authorizing, Connecting],
    [Connecting, Open],
    [Open, Waiting],
  ] as const) {
    assertTransition(from, to);
  }
});

test("every state but Closed may be closed", () => {
  for (const state of [Waiting, Authorizing, Connecting, Open]) assertTransition(state, Closed);
});

test("impossible transitions throw", () => {
  for (const [from, to] of [
    [Waiting, Open],
    [Authorizing, Open],
    [Open, Connecting],
    [Closed, Waiting],
    [Closed, Closed],
  ] as const) {
    assert.throws(() => assertTransition(from, to), /impossible transition/);
  }
});
