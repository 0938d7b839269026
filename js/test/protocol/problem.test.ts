import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../../src/protocol/codes.js";
import { readCloseInfo, readProblem } from "../../src/protocol/problem.js";

const makeResponse = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });

test("a 401 identifies the token error by code, description, title or detail", async () => {
  for (const [code, description] of Object.entries(codes.TOKEN_DESCRIPTIONS)) {
    for (const body of [
      { code: Number(code) },
      { description },
      { title: description },
      { detail: description },
    ]) {
      assert.equal((await readProblem(makeResponse(401, body))).code, Number(code));
    }
  }
});

test("any other 401 means an invalid token", async () => {
  for (const body of ["", "<html>", "null", "1", "[]", { code: 1, detail: "no" }]) {
    assert.equal((await readProblem(makeResponse(401, body))).code, codes.INVALID_TOKEN);
  }
});

test("a full server, with Retry-After", async () => {
  const full = { code: codes.TOO_MANY_CONNECTIONS, reached: true };
  assert.deepEqual(await readCloseInfo(makeResponse(503, { detail: "full" }, { "retry-after": "7" })), {
    ...full,
    reason: "full",
    retryAfterMs: 7000,
  });
  const date = { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" };
  assert.deepEqual(await readCloseInfo(makeResponse(429, "", date)), {
    ...full,
    reason: "HTTP 429",
    retryAfterMs: null,
  });
});

test("any other status is not from a Headrace server", async () => {
  for (const status of [400, 403, 404, 405, 500, 502, 504]) {
    assert.deepEqual(await readCloseInfo(makeResponse(status, "<html>")), {
      code: codes.ABNORMAL,
      reason: `HTTP ${status}`,
      reached: false,
      retryAfterMs: null,
    });
  }
});
