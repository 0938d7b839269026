/**
 * Message positions: the id `"<ms>-<seq>"`, which places a message in the one total order.
 *
 * Both parts are unsigned 64-bit integers, too large for a JavaScript number. They are decimals
 * without leading zeros, so the longer one is greater, and equal lengths compare as strings. BigInt
 * would do, but old browsers lack it.
 */

/** Whether `value` is a message id. */
export function isPosition(value: unknown): value is string {
  return typeof value === "string" && /^(0|[1-9]\d{0,19})-(0|[1-9]\d{0,19})$/.test(value);
}

/** `value` if it is a message id, else null. */
export function positionOrNull(value: unknown): string | null {
  return isPosition(value) ? value : null;
}

/** Negative if id `a` comes before id `b`, 0 if they are equal, positive if `a` comes after `b`. */
export function comparePositions(a: string, b: string): number {
  const [aMs = "", aSeq = ""] = a.split("-");
  const [bMs = "", bSeq = ""] = b.split("-");
  return compareDecimals(aMs, bMs) || compareDecimals(aSeq, bSeq);
}

function compareDecimals(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
