/** Token renewal: fetches the next token before the current one expires. */

import type { Platform } from "../platform.js";
import type { Credentials } from "./credentials.js";

/** A renewal happens at a random time between 75 and 95 % of the remaining lifetime, to spread the load. */
const RENEW_AFTER_FRACTION = 0.75;
const RENEW_SPREAD_FRACTION = 0.2;
/** The longest lifetime of a token. The page's clock may be wrong by years. */
const LIFETIME_MAX_MS = 86_400_000;
/** With less time left, or with a wrong clock, do not renew: the server will close with 4002. */
const LIFETIME_MIN_MS = 5_000;

/**
 * The delay in milliseconds before renewing a token that expires at `expiresAt` (Unix time in
 * seconds), or null not to renew it. `nowMs` is the Unix time, `random` is from 0 to below 1.
 */
export function renewalDelay(expiresAt: number, nowMs: number, random: number): number | null {
  const remainingMs = Math.min(expiresAt * 1000 - nowMs, LIFETIME_MAX_MS);
  if (remainingMs < LIFETIME_MIN_MS) return null;
  return remainingMs * (RENEW_AFTER_FRACTION + RENEW_SPREAD_FRACTION * random);
}

/** Renews the token of one connection. A failed renewal is repeated in the remaining lifetime. */
export class TokenRenewal {
  private _timer: unknown;
  /** Counts cancellations; the result of an earlier fetch is ignored. */
  private _generation = 0;

  constructor(
    private readonly _credentials: Credentials,
    private readonly _platform: Platform,
    private readonly _onToken: (token: string) => void,
    private readonly _onError: (error: unknown) => void,
  ) {}

  /** Renew the token that expires at `expiresAt` (Unix time in seconds), if it can be renewed. */
  schedule(expiresAt: number | null): void {
    this._platform.clearTimeout(this._timer);
    if (expiresAt === null || !this._credentials.renewable) return;
    const delayMs = renewalDelay(expiresAt, this._platform.now(), this._platform.random());
    if (delayMs === null) return;
    const generation = this._generation;
    const onToken = (token: string) => {
      if (generation === this._generation) this._onToken(token);
    };
    const onError = (error: unknown) => {
      if (generation !== this._generation) return;
      this._onError(error);
      this.schedule(expiresAt);
    };
    this._timer = this._platform.setTimeout(() => {
      this._credentials.refresh().then(onToken, onError);
    }, delayMs);
  }

  cancel(): void {
    this._generation += 1;
    this._platform.clearTimeout(this._timer);
  }
}
