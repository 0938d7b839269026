/** Which transport to try next: the next one in the list after a failure, and the first after the last. */

import type { Platform } from "../platform.js";
import { PROVEN_MAX_ATTEMPTS } from "./limits.js";
import type { Transport } from "./transport.js";

export class TransportFallback {
  private _index: number;
  private _failures = 0;
  private _isProven: boolean;
  /** Whether a probe reached the server since the current transport began to fail. */
  private _serverReached = false;
  private _probing: AbortController | null = null;
  private readonly _storageKey: string;

  /**
   * `transports` is in order of preference and not empty. `storage` remembers the transport that
   * worked for the server at `url`.
   */
  constructor(
    private readonly _transports: readonly Transport[],
    private readonly _storage: Platform["storage"],
    url: string,
  ) {
    this._storageKey = `headrace.transport ${url}`;
    let stored: string | null = null;
    try {
      stored = _storage?.getItem(this._storageKey) ?? null;
    } catch {
      // Storage is forbidden: start with the first transport.
    }
    const index = _transports.findIndex(({ name }) => name === stored);
    this._index = Math.max(0, index);
    this._isProven = index >= 0;
  }

  /** The transport to use for the next attempt. */
  get current(): Transport {
    return this._transports[this._index] as Transport;
  }

  /** Call when `transport` has connected. */
  recordSuccess(transport: Transport): void {
    this._select(this._transports.indexOf(transport), true);
    try {
      this._storage?.setItem(this._storageKey, this.current.name);
    } catch {
      // Storage is full or forbidden: the next page starts with the first transport.
    }
  }

  /**
   * Call when the current transport did not reach the server. `probe` resolves if the server can be
   * reached in another way.
   */
  recordFailure(probe: (signal: AbortSignal) => Promise<unknown>): void {
    this._failures += 1;
    if (!this._isProven || this._serverReached) {
      this._select((this._index + 1) % this._transports.length, false);
    } else if (this._failures >= PROVEN_MAX_ATTEMPTS - 1 && this._transports.length > 1) {
      void this._probeServer(probe);
    }
  }

  /** Start again with the first transport: the server was full, which looks to a WebSocket like a failure. */
  reset(): void {
    this._select(0, false);
  }

  /** Ignore the result of a probe that is still running. */
  cancelProbe(): void {
    this._probing?.abort();
  }

  /** Find out whether the server can be reached, with one probe at a time. */
  private async _probeServer(probe: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    if (this._probing) return;
    const probing = new AbortController();
    this._probing = probing;
    try {
      await probe(probing.signal);
      this._serverReached = !probing.signal.aborted;
    } catch {
      // The server cannot be reached, or the probe was cancelled.
    }
    this._probing = null;
  }

  private _select(index: number, isProven: boolean): void {
    this._index = index;
    this._isProven = isProven;
    this._failures = 0;
    this._serverReached = false;
    this.cancelProbe();
  }
}
