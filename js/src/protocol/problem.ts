/** HTTP error responses: problem details (RFC 9457), status code and `Retry-After`. */

import type { CloseInfo } from "./close-info.js";
import * as codes from "./codes.js";

/** Parse an error response. A body that is not problem details is ignored: the status is enough. */
export async function readProblem(response: Response): Promise<CloseInfo> {
  const { status } = response;
  let fields: Record<string, unknown> = {};
  try {
    fields = Object(JSON.parse(await response.text()));
  } catch {
    // A proxy's own error page, or the connection broke.
  }
  const reason = typeof fields.detail === "string" ? fields.detail : `HTTP ${status}`;
  const code = closeCode(status, reason, fields);
  const retryAfterS = Number(response.headers.get("retry-after") ?? -1);
  return {
    code,
    reason,
    reached: code !== codes.ABNORMAL,
    retryAfterMs: retryAfterS >= 0 ? retryAfterS * 1000 : null,
  };
}

/** The close code with the same meaning as the status. */
function closeCode(status: number, detail: string, fields: Record<string, unknown>): number {
  if (status === 401) return tokenErrorCode(fields);
  // A poll that a newer session replaced; its code is in the body, as a token error's is.
  if (status === 409 && fields.code === codes.REPLACED) return codes.REPLACED;
  if (status !== 429 && status !== 503) return codes.ABNORMAL;
  // How a server that shuts down ends a poll, and refuses a request.
  return /restart|shutting down/.test(detail) ? codes.RESTART : codes.TOO_MANY_CONNECTIONS;
}

function tokenErrorCode(fields: Record<string, unknown>): number {
  const texts = [fields.description, fields.title, fields.detail];
  for (const [code, description] of Object.entries(codes.TOKEN_DESCRIPTIONS)) {
    if (fields.code === Number(code) || texts.includes(description)) return Number(code);
  }
  return codes.INVALID_TOKEN;
}
