import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../../src/protocol/codes.js";
import { readProblem } from "../../src/protocol/problem.js";

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
  assert.deepEqual(await readProblem(makeResponse(503, { detail: "full" }, { "retry-after": "7" })), {
    ...full,
    reason: "full",
    retryAfterMs: 7000,
  });
  const date = { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" };
  assert.deepEqual(await readProblem(makeResponse(429, "", date)), {
    ...full,
    reason: "HTTP 429",
    retryAfterMs: null,
  });
});

test("a server that shuts down, with Retry-After", async () => {
  // The details that the server gives to a poll and to a request during its shutdown.
  for (const detail of [
    `the poll was ended: ${codes.REASONS[codes.RESTART]}`,
    "the server is shutting down; connect again",
  ]) {
    assert.deepEqual(await readProblem(makeResponse(503, { detail }, { "retry-after": "5" })), {
      code: codes.RESTART,
      reason: detail,
      reached: true,
      retryAfterMs: 5000,
    });
    assert.equal((await readProblem(makeResponse(500, { detail }))).code, codes.ABNORMAL);
  }
});

test("any other status is not from a Headrace server", async () => {
  for (const status of [400, 403, 404, 405, 500, 502, 504]) {
    assert.deepEqual(await readProblem(makeResponse(status, "<html>")), {
      code: codes.ABNORMAL,
      reason: `HTTP ${status}`,
      reached: false,
      retryAfterMs: null,
    });
  }
});

test("a poll that was replaced by a newer session", async () => {
  const body = { code: codes.REPLACED, detail: "replaced" };
  assert.equal((await readProblem(makeResponse(409, body))).code, codes.REPLACED);
  assert.equal((await readProblem(makeResponse(409, { detail: "another conflict" }))).code, codes.ABNORMAL);
});
