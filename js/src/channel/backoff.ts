/** Exponential backoff with full jitter, so that clients do not reconnect at the same time. */

const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 30_000;

/** `BACKOFF_BASE_MS * 2 ** 6` exceeds the maximum. More doublings would only overflow. */
const BACKOFF_MAX_DOUBLINGS = 6;

/** If the server is full, even the first delay is up to `BACKOFF_BASE_MS * 2 ** 3`. */
const SERVER_FULL_DOUBLINGS = 3;

export class Backoff {
  private _attempts = 0;

  constructor(private readonly _random: () => number) {}

  /** The next delay: from 0 to below `min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** attempts)`. */
  nextDelayMs(serverFull = false): number {
    if (serverFull) this._attempts = Math.max(this._attempts, SERVER_FULL_DOUBLINGS);
    const doublings = Math.min(this._attempts, BACKOFF_MAX_DOUBLINGS);
    this._attempts += 1;
    return this._random() * Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** doublings);
  }

  /** Whether there was no attempt since the last success. */
  get isFirst(): boolean {
    return this._attempts === 0;
  }

  /** Call after a success. */
  reset(): void {
    this._attempts = 0;
  }
}
