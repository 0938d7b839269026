/** The long-poll transport: one request after another, each from where the last one ended. */

import { readClaims } from "./claims.js";
import { PING_INTERVAL_MS, readFrame } from "./frames.js";
import { get, start } from "./http.js";
import type { Platform } from "./platform.js";
import { positionOrNull } from "./position.js";
import { readLoss } from "./problem.js";
import { knock } from "./reach.js";
import type { Dial, Loss, Sink, Transport } from "./transport.js";

/**
 * The server answers at once only when it has something to say. A first poll that was neither
 * refused nor answered for so long counts as open, with nothing lost, if the server can be reached.
 */
const OPEN_AFTER_MS = 1_000;
/** An answer without messages that came sooner than this is not the server's: wait for the rest. */
const EMPTY_AFTER_MS = 1_000;

/** The transport, or null where there is no `fetch`. */
export function pollTransport(platform: Platform): Transport | null {
  const { fetch } = platform;
  if (!fetch) return null;
  return {
    name: "poll",
    connect(dial, sink) {
      return start(sink, (signal) => new Poll({ ...dial }, sink, signal).run(platform, fetch));
    },
  };
}

class Poll {
  private _opened = false;

  constructor(
    private readonly _dial: Dial,
    private readonly _sink: Sink,
    private readonly _signal: AbortSignal,
  ) {}

  async run(platform: Platform, fetch: NonNullable<Platform["fetch"]>): Promise<Loss> {
    const { _dial: dial } = this;
    const open = () => this._open(dial.lastId, true);
    const timer = platform.setTimeout(() => {
      if (!this._opened) knock(platform, dial, this._signal).then(open, () => {});
    }, OPEN_AFTER_MS);
    try {
      for (;;) {
        const askedAt = platform.now();
        const response = await get(fetch, dial, "/v1/poll", "application/json", this._signal);
        if (!response.ok) return await readLoss(response);
        const empty = this._take(Object(await response.json()));
        const early = askedAt + EMPTY_AFTER_MS - platform.now();
        if (empty && early > 0) await new Promise<void>((resolve) => platform.setTimeout(resolve, early));
      }
    } finally {
      platform.clearTimeout(timer);
    }
  }

  /** Hand on an answer; whether it held no message. */
  private _take({ messages, last_id, recovered }: Record<string, unknown>): boolean {
    const items: unknown[] = Array.isArray(messages) ? messages : [];
    const lost = recovered === false;
    const first = lost ? (Object(items[0]).id ?? last_id) : this._dial.lastId;
    this._open(positionOrNull(first), !lost);
    for (const item of items) this._sink.frame(readFrame(item));
    this._dial.lastId = positionOrNull(last_id) ?? this._dial.lastId;
    this._sink.frame({ kind: "ping", id: this._dial.lastId });
    return !items.length;
  }

  /** Say `open` once, and again whenever something was lost. */
  private _open(id: string | null, recovered: boolean): void {
    if (this._signal.aborted || (this._opened && recovered)) return;
    this._opened = true;
    const { sub = "", exp = null } = readClaims(this._dial.token);
    this._sink.frame({
      kind: "open",
      opened: {
        clientId: sub,
        id,
        recovered: recovered && this._dial.lastId === null ? null : recovered,
        expiresAt: exp,
        pingIntervalMs: PING_INTERVAL_MS,
      },
    });
  }
}
