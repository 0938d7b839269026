/** Why a connection ended. */

import * as codes from "./codes.js";

/** Why a connection ended or could not be opened, whatever the transport. */
export interface CloseInfo {
  /** A WebSocket close code. An HTTP error status is mapped to the code with the same meaning. */
  code: number;
  reason: string;
  /** Whether a Headrace server answered. If so, the transport works. */
  reached: boolean;
  /** From the `Retry-After` header. */
  retryAfterMs?: number | null;
}

/** Whether `code` means that the connection ended without a close code from the server. */
export function isAbnormal(code: number): boolean {
  return code === codes.ABNORMAL || code === codes.NO_STATUS;
}

/** Close info for a connection that ended without a close code. */
export function abnormalClose(reason: unknown, reached = false): CloseInfo {
  return { code: codes.ABNORMAL, reason: String(reason), reached };
}
