import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeFrame, parseFrame } from "../../src/protocol/frames.js";
import { SendError } from "../../src/protocol/send.js";

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

test("an open frame with all fields and with none", () => {
  assert.deepEqual(
    parseFrame(
      '{"type":"open","client_id":"a","id":"1-0","recovered":true,"expires_at":1732412345,"ping_interval":10}',
    ),
    {
      kind: "open",
      session: { clientId: "a", id: "1-0", recovered: true, expiresAt: 1732412345, pingIntervalMs: 10_000 },
    },
  );
  assert.deepEqual(parseFrame('{"type":"open"}'), {
    kind: "open",
    session: { clientId: "", id: null, recovered: null, expiresAt: null, pingIntervalMs: 25_000 },
  });
});

test("ping, gap and reconnect frames", () => {
  assert.deepEqual(parseFrame('{"type":"ping"}'), { kind: "ping", id: null });
  assert.deepEqual(parseFrame('{"type":"ping","id":"2-0"}'), { kind: "ping", id: "2-0" });
  assert.deepEqual(parseFrame('{"type":"gap","after":"1-0","before":"3-0"}'), {
    kind: "gap",
    after: "1-0",
    before: "3-0",
  });
  assert.deepEqual(parseFrame('{"type":"reconnect","delay_ms":1500}'), { kind: "reconnect", delayMs: 1500 });
  assert.deepEqual(parseFrame('{"type":"reconnect","delay_ms":0}'), { kind: "reconnect", delayMs: 0 });
  assert.deepEqual(parseFrame('{"type":"reconnect"}'), { kind: "reconnect", delayMs: null });
  assert.deepEqual(parseFrame('{"type":"reconnect","delay_ms":1e12}'), {
    kind: "reconnect",
    delayMs: 300_000,
  });
  assert.deepEqual(parseFrame('{"type":"reconnect","delay_ms":-1}'), { kind: "reconnect", delayMs: null });
});

test("a type of a later server version is unknown, not malformed", () => {
  assert.deepEqual(parseFrame('{"type":"later","ref":1,"id":"1-0","data":"x"}'), { kind: "unknown" });
});

test("replies have the message's number; an error without one is unknown", () => {
  assert.deepEqual(parseFrame('{"type":"sent","ref":1,"id":"1-0"}'), {
    kind: "reply",
    ref: 1,
    answer: { id: "1-0" },
    error: null,
  });
  assert.deepEqual(parseFrame('{"type":"sent","ref":2,"id":null}'), {
    kind: "reply",
    ref: 2,
    answer: {},
    error: null,
  });
  assert.deepEqual(parseFrame('{"type":"error","ref":3,"code":429,"detail":"too often"}'), {
    kind: "reply",
    ref: 3,
    answer: {},
    error: new SendError("too often", 429),
  });
  assert.deepEqual(parseFrame('{"type":"error","code":400,"detail":"no JSON"}'), { kind: "unknown" });
});

test("invalid input is malformed, never an exception", () => {
  const bad = ["", "{", "null", "1", '"text"', "[]", "{}", '{"data":"x"}', '{"id":"x","data":"x"}'];
  bad.push('{"id":"1-0"}', '{"id":"1-0","data":1}', '{"id":1,"data":"x"}', '{"type":1}', '{"type":null}');
  for (const text of bad) assert.equal(parseFrame(text).kind, "malformed", text);
  for (const value of [undefined, Symbol("x"), () => 1]) assert.equal(decodeFrame(value).kind, "malformed");
});
