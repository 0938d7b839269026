/** When to fetch the next token. */

/** A renewal falls between these shares of a token's remaining life, so that clients do not renew together. */
const FROM = 0.75;
const SPREAD = 0.2;
/** The longest life of a token; a page's clock may be wrong by years. */
const TOKEN_MAX_MS = 86_400_000;
/** Less life than this is not worth renewing (or the clock is wrong): the server will say 4002. */
const LEAST_MS = 5_000;

/**
 * How many milliseconds to wait before renewing a token that ends at `expiresAt` (seconds of the
 * Unix clock), or null for not at all. `nowMs` is the Unix time, `random` is from 0 to below 1.
 */
export function renewalDelay(expiresAt: number, nowMs: number, random: number): number | null {
  const leftMs = Math.min(expiresAt * 1000 - nowMs, TOKEN_MAX_MS);
  return leftMs < LEAST_MS ? null : leftMs * (FROM + SPREAD * random);
}
