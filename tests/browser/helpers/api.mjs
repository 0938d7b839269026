// Requests and tokens of an application.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";

export const SECRET = "a secret of the browser tests alone";
export const API_KEY = "an API key of the browser tests alone";

/** Posts JSON with the API key; returns the JSON of the response. */
export async function post(url, path, body) {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

/** Returns a token like that of any JWT library. Without `iat`, its lifetime may be short. */
export function signToken(claims, secret = SECRET) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

/** Returns a token for the client `sub` that expires in `seconds`. */
export function mintToken(sub, seconds = 600, claims = {}) {
  return signToken({ sub, exp: Date.now() / 1000 + seconds, ...claims });
}
