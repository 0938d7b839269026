/** The long-poll transport: one request after another, each starting where the last one ended. */

import type { Platform } from "../platform.js";
import type { CloseInfo } from "../protocol/close-info.js";
import { DEFAULT_PING_INTERVAL_MS, decodeFrame } from "../protocol/frames.js";
import { positionOrNull } from "../protocol/position.js";
import { readProblem } from "../protocol/problem.js";
import { readClaims } from "../protocol/token.js";
import { request, startConnection } from "./http.js";
import { ASSUME_OPEN_AFTER_MS, EMPTY_POLL_MIN_MS } from "./limits.js";
import { probe } from "./reachability.js";
import type { ConnectOptions, Transport, TransportListener } from "./transport.js";

/** The transport, or null if the browser has no `fetch`. */
export function pollTransport(platform: Platform): Transport | null {
  const { fetch } = platform;
  if (!fetch) return null;
  return {
    name: "poll",
    connect(options, listener) {
      return startConnection(listener, (signal) =>
        new PollLoop({ ...options }, listener, signal).run(platform, fetch),
      );
    },
  };
}

class PollLoop {
  private _opened = false;

  constructor(
    /** A copy: `lastId` advances with each answer. */
    private readonly _options: ConnectOptions,
    private readonly _listener: TransportListener,
    private readonly _signal: AbortSignal,
  ) {}

  async run(platform: Platform, fetch: NonNullable<Platform["fetch"]>): Promise<CloseInfo> {
    const { _options: options } = this;
    const open = () => this._open(options.lastId, true);
    const timer = platform.setTimeout(() => {
      if (!this._opened) probe(platform, options, this._signal).then(open, () => {});
    }, ASSUME_OPEN_AFTER_MS);
    try {
      for (;;) {
        const startedAt = platform.now();
        const response = await request(fetch, options, "/v1/poll", "application/json", this._signal);
        if (!response.ok) return await readProblem(response);
        const isEmpty = this._handleAnswer(Object(await response.json()));
        const waitMs = startedAt + EMPTY_POLL_MIN_MS - platform.now();
        if (isEmpty && waitMs > 0) await new Promise<void>((resolve) => platform.setTimeout(resolve, waitMs));
      }
    } finally {
      platform.clearTimeout(timer);
    }
  }

  /** Deliver the messages of an answer. Returns whether there were none. */
  private _handleAnswer({ messages, last_id, recovered }: Record<string, unknown>): boolean {
    const items: unknown[] = Array.isArray(messages) ? messages : [];
    const isLossy = recovered === false;
    const startId = isLossy ? (Object(items[0]).id ?? last_id) : this._options.lastId;
    this._open(positionOrNull(startId), !isLossy);
    for (const item of items) this._listener.onFrame(decodeFrame(item));
    this._options.lastId = positionOrNull(last_id) ?? this._options.lastId;
    this._listener.onFrame({ kind: "ping", id: this._options.lastId });
    return !items.length;
  }

  /** Report an "open" frame: once, and again whenever messages were lost. */
  private _open(id: string | null, recovered: boolean): void {
    if (this._signal.aborted || (this._opened && recovered)) return;
    this._opened = true;
    const { sub = "", exp = null } = readClaims(this._options.token);
    this._listener.onFrame({
      kind: "open",
      session: {
        clientId: sub,
        id,
        recovered: recovered && this._options.lastId === null ? null : recovered,
        expiresAt: exp,
        pingIntervalMs: DEFAULT_PING_INTERVAL_MS,
      },
    });
  }
}
