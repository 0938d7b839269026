import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../src/codes.js";
import { readLoss, readProblem } from "../src/problem.js";

const answer = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });

test("a 401 names its token fault by code, description, title or detail", async () => {
  for (const [code, description] of Object.entries(codes.TOKEN_DESCRIPTIONS)) {
    for (const body of [
      { code: Number(code) },
      { description },
      { title: description },
      { detail: description },
    ]) {
      assert.equal((await readProblem(answer(401, body))).code, Number(code));
    }
  }
});

test("a 401 that names none is an invalid token", async () => {
  for (const body of ["", "<html>", "null", "1", "[]", { code: 1, detail: "no" }]) {
    assert.equal((await readProblem(answer(401, body))).code, codes.INVALID_TOKEN);
  }
});

test("a full server, with its wish", async () => {
  const full = { code: codes.TOO_MANY_CONNECTIONS, reached: true };
  assert.deepEqual(await readLoss(answer(503, { detail: "full" }, { "retry-after": "7" })), {
    ...full,
    reason: "full",
    retryAfterMs: 7000,
  });
  const date = { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" };
  assert.deepEqual(await readLoss(answer(429, "", date)), {
    ...full,
    reason: "HTTP 429",
    retryAfterMs: null,
  });
});

test("anything else did not reach a Headrace server", async () => {
  for (const status of [400, 403, 404, 405, 500, 502, 504]) {
    assert.deepEqual(await readLoss(answer(status, "<html>")), {
      code: codes.ABNORMAL,
      reason: `HTTP ${status}`,
      reached: false,
      retryAfterMs: null,
    });
  }
});
