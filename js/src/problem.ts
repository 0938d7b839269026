/** What an HTTP answer that is not 2xx means (RFC 9457 problem details). */

import * as codes from "./codes.js";
import type { Loss } from "./transport.js";

export interface Problem {
  /** The close code with the same meaning. */
  code: number;
  detail: string;
  retryAfterMs: number | null;
}

/** Read the body of `response`; whatever it holds, the status alone gives an answer. */
export async function readProblem(response: Response): Promise<Problem> {
  const { status } = response;
  let fields: Record<string, unknown> = {};
  try {
    fields = Object(JSON.parse(await response.text()));
  } catch {
    // A proxy's own page, or the line broke: the status must do.
  }
  const detail = typeof fields.detail === "string" ? fields.detail : `HTTP ${status}`;
  const retryAfterS = Number(response.headers.get("retry-after") ?? Number.NaN);
  return {
    code:
      status === 401
        ? tokenFault(fields)
        : status === 429 || status === 503
          ? codes.TOO_MANY_CONNECTIONS
          : codes.ABNORMAL,
    detail,
    retryAfterMs: retryAfterS >= 0 ? retryAfterS * 1000 : null,
  };
}

/** The loss of a connection that was answered so. */
export async function readLoss(response: Response): Promise<Loss> {
  const { code, detail, retryAfterMs } = await readProblem(response);
  return { code, reason: detail, reached: code !== codes.ABNORMAL, retryAfterMs };
}

function tokenFault(fields: Record<string, unknown>): number {
  const said = [fields.description, fields.title, fields.detail];
  for (const [code, description] of Object.entries(codes.TOKEN_DESCRIPTIONS)) {
    if (fields.code === Number(code) || said.includes(description)) return Number(code);
  }
  return codes.INVALID_TOKEN;
}
