/** Which transport to try next: down one rung when one does not work, and round again at the end. */

import type { Platform } from "./platform.js";
import type { Transport } from "./transport.js";

/** One that has worked may fail so often before it is given up: the server may be restarting. */
const TRIES_OF_PROVEN = 3;

export class Ladder {
  private _rung: number;
  private _failures = 0;
  private _proven: boolean;
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

  /** The current transport connected. */
  worked(): void {
    this._failures = 0;
    this._proven = true;
    try {
      this._storage?.setItem(this._key, this.current.name);
    } catch {
      // A full or forbidden storage costs only the memory of what worked.
    }
  }

  /** The current transport did not reach the server. */
  failed(): void {
    this._failures += 1;
    if (this._failures < (this._proven ? TRIES_OF_PROVEN : 1)) return;
    this._rung = (this._rung + 1) % this._transports.length;
    this._failures = 0;
    this._proven = false;
  }

  /** Begin at the top: the server was full, which a WebSocket cannot see and takes for a failure. */
  restart(): void {
    this._rung = this._failures = 0;
    this._proven = false;
  }

  private _read(): string | null {
    try {
      return this._storage?.getItem(this._key) ?? null;
    } catch {
      return null;
    }
  }
}
