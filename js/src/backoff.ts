/** How long to wait before the next try: full jitter, so that clients do not come back together. */

export const BASE_MS = 500;
export const CAP_MS = 30_000;

/** `2 ** 6 * BASE_MS` passes the cap; more doublings would only overflow. */
const MOST_DOUBLINGS = 6;

/** At a full server even the first wait is taken from `BASE_MS * 2 ** 3`. */
const FULL_SERVER_DOUBLINGS = 3;

export class Backoff {
  private _tries = 0;

  constructor(private readonly _random: () => number) {}

  /** A wait in milliseconds, from 0 to below `min(CAP_MS, BASE_MS * 2 ** tries)`. */
  next(full = false): number {
    if (full) this._tries = Math.max(this._tries, FULL_SERVER_DOUBLINGS);
    const limit = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(this._tries, MOST_DOUBLINGS));
    this._tries += 1;
    return this._random() * limit;
  }

  /** A wait when a dead line is back: from 0 to below `BASE_MS`. */
  soon(): number {
    return this._random() * BASE_MS;
  }

  /** Whether there was no try since the last success. */
  get fresh(): boolean {
    return this._tries === 0;
  }

  reset(): void {
    this._tries = 0;
  }
}
