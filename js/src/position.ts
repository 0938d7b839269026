/**
 * A message's place in the one total order: the id `"<ms>-<seq>"`.
 *
 * Both parts are compared as numbers of up to 64 bits. They are decimals without leading zeros, so
 * the longer one is the greater and equal lengths compare as text: no BigInt, which old browsers
 * lack.
 */

const FORM = /^(0|[1-9]\d{0,19})-(0|[1-9]\d{0,19})$/;

/** Whether `value` is an id. */
export function isPosition(value: unknown): value is string {
  return typeof value === "string" && FORM.test(value);
}

/** `value` if it is an id. */
export function positionOrNull(value: unknown): string | null {
  return isPosition(value) ? value : null;
}

/** Below, equal to or above 0 as id `a` comes before, is, or comes after id `b`. */
export function comparePositions(a: string, b: string): number {
  const [aMs = "", aSeq = ""] = a.split("-");
  const [bMs = "", bSeq = ""] = b.split("-");
  return compareDecimals(aMs, bMs) || compareDecimals(aSeq, bSeq);
}

function compareDecimals(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
