/** Which transport to try next: down one rung when one does not work, and round again at the end. */

import type { Platform } from "./platform.js";
import type { Transport } from "./transport.js";

/**
 * One that has worked may fail so often before it is given up, and only while the server can be
 * reached: it may be restarting, or the line may be dead.
 */
const TRIES_OF_PROVEN = 3;

export class Ladder {
  private _rung: number;
  private _failures = 0;
  private _proven: boolean;
  /** Whether the server was reached since the current transport began to fail. */
  private _reached = false;
  private _knocking: AbortController | null = null;
  private readonly _key: string;

  /** `transports` is in the order of preference and not empty; `url` names the server remembered. */
  constructor(
    private readonly _transports: readonly [Transport, ...Transport[]],
    private readonly _storage: Platform["storage"],
    url: string,
  ) {
    this._key = `headrace.transport ${url}`;
    const remembered = this._read();
    this._rung = Math.max(
      0,
      _transports.findIndex(({ name }) => name === remembered),
    );
    this._proven = this._transports[this._rung]?.name === remembered;
  }

  get current(): Transport {
    return this._transports[this._rung] ?? this._transports[0];
  }

  /** `transport` connected. */
  worked(transport: Transport): void {
    this._stand(this._transports.indexOf(transport), true);
    try {
      this._storage?.setItem(this._key, this.current.name);
    } catch {
      // A full or forbidden storage costs only the memory of what worked.
    }
  }

  /** The current transport did not reach the server; `knock` resolves where something else does. */
  failed(knock: (signal: AbortSignal) => Promise<unknown>): void {
    this._failures += 1;
    if (!this._proven || this._reached) {
      this._stand((this._rung + 1) % this._transports.length, false);
    } else if (this._failures >= TRIES_OF_PROVEN - 1 && this._transports.length > 1) {
      void this._find(knock);
    }
  }

  /** Forget about an answer that has not come. */
  end(): void {
    this._knocking?.abort();
  }

  /** Find out whether the server can be reached; one request at a time is enough. */
  private async _find(knock: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    if (this._knocking) return;
    const knocking = new AbortController();
    this._knocking = knocking;
    try {
      await knock(knocking.signal);
      this._reached = !knocking.signal.aborted;
    } catch {
      // It cannot, or the answer is not of interest any more.
    }
    this._knocking = null;
  }

  /** Begin at the top: the server was full, which a WebSocket cannot see and takes for a failure. */
  restart(): void {
    this._stand(0, false);
  }

  private _stand(rung: number, proven: boolean): void {
    this._rung = rung;
    this._proven = proven;
    this._failures = 0;
    this._reached = false;
    this.end();
  }

  private _read(): string | null {
    try {
      return this._storage?.getItem(this._key) ?? null;
    } catch {
      return null;
    }
  }
}
