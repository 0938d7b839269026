import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFrame, readFrame } from "../src/frames.js";

test("a message", () => {
  assert.deepEqual(parseFrame('{"id":"1-0","data":"hi"}'), {
    kind: "message",
    message: { id: "1-0", data: "hi" },
  });
  assert.deepEqual(parseFrame('{"id":"1-0","data":"","group":"lobby"}'), {
    kind: "message",
    message: { id: "1-0", data: "", group: "lobby" },
  });
});

test("open, in full and bare", () => {
  assert.deepEqual(
    parseFrame(
      '{"type":"open","client_id":"a","id":"1-0","recovered":true,"expires_at":1732412345,"ping_interval":10}',
    ),
    {
      kind: "open",
      opened: { clientId: "a", id: "1-0", recovered: true, expiresAt: 1732412345, pingIntervalMs: 10_000 },
    },
  );
  assert.deepEqual(parseFrame('{"type":"open"}'), {
    kind: "open",
    opened: { clientId: "", id: null, recovered: null, expiresAt: null, pingIntervalMs: 25_000 },
  });
});

test("notices", () => {
  assert.deepEqual(parseFrame('{"type":"ping"}'), { kind: "ping", id: null });
  assert.deepEqual(parseFrame('{"type":"ping","id":"2-0"}'), { kind: "ping", id: "2-0" });
  assert.deepEqual(parseFrame('{"type":"gap","after":"1-0","before":"3-0"}'), {
    kind: "gap",
    after: "1-0",
    before: "3-0",
  });
  assert.deepEqual(parseFrame('{"type":"reconnect","delay_ms":1500}'), { kind: "reconnect", delayMs: 1500 });
  assert.deepEqual(parseFrame('{"type":"reconnect"}'), { kind: "reconnect", delayMs: 0 });
  assert.deepEqual(parseFrame('{"type":"reconnect","delay_ms":1e12}'), {
    kind: "reconnect",
    delayMs: 300_000,
  });
  assert.deepEqual(parseFrame('{"type":"reconnect","delay_ms":-1}'), { kind: "reconnect", delayMs: 0 });
});

test("types of a later server are unknown, not malformed", () => {
  assert.deepEqual(parseFrame('{"type":"sent","ref":1,"id":"1-0","data":"x"}'), { kind: "unknown" });
});

test("whatever else comes is malformed, never an exception", () => {
  const bad = ["", "{", "null", "1", '"text"', "[]", "{}", '{"data":"x"}', '{"id":"x","data":"x"}'];
  bad.push('{"id":"1-0"}', '{"id":"1-0","data":1}', '{"id":1,"data":"x"}', '{"type":1}', '{"type":null}');
  for (const text of bad) assert.equal(parseFrame(text).kind, "malformed", text);
  for (const value of [undefined, Symbol("x"), () => 1]) assert.equal(readFrame(value).kind, "malformed");
});
