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
      return startConnection(listener, (signal) => poll(platform, fetch, { ...options }, listener, signal));
    },
  };
}

/** Poll until an error. `options` is changed: `lastId` advances with each answer. */
async function poll(
  platform: Platform,
  fetch: NonNullable<Platform["fetch"]>,
  options: ConnectOptions,
  listener: TransportListener,
  signal: AbortSignal,
): Promise<CloseInfo> {
  let opened = false;

  /** Report an "open" frame: once, and again whenever messages were lost. */
  function open(id: string | null, recovered: boolean): void {
    if (signal.aborted || (opened && recovered)) return;
    opened = true;
    const { sub = "", exp = null } = readClaims(options.token);
    listener.onFrame({
      kind: "open",
      session: {
        clientId: sub,
        id,
        recovered: recovered && options.lastId === null ? null : recovered,
        expiresAt: exp,
        pingIntervalMs: DEFAULT_PING_INTERVAL_MS,
      },
    });
  }

  /** Deliver the messages of an answer. Returns whether there were none. */
  function handleAnswer({ messages, last_id, recovered }: Record<string, unknown>): boolean {
    const items: unknown[] = Array.isArray(messages) ? messages : [];
    const isLossy = recovered === false;
    const startId = isLossy ? (Object(items[0]).id ?? last_id) : options.lastId;
    open(positionOrNull(startId), !isLossy);
    for (const item of items) listener.onFrame(decodeFrame(item));
    options.lastId = positionOrNull(last_id) ?? options.lastId;
    listener.onFrame({ kind: "ping", id: options.lastId });
    return !items.length;
  }

  const timer = platform.setTimeout(() => {
    if (!opened)
      probe(platform, options, signal).then(
        () => open(options.lastId, true),
        () => {},
      );
  }, ASSUME_OPEN_AFTER_MS);
  try {
    for (;;) {
      const startedAt = platform.now();
      const response = await request(fetch, options, "/v1/poll", "application/json", signal);
      if (!response.ok) return await readProblem(response);
      const isEmpty = handleAnswer(Object(await response.json()));
      const waitMs = startedAt + EMPTY_POLL_MIN_MS - platform.now();
      if (isEmpty && waitMs > 0) await new Promise<void>((resolve) => platform.setTimeout(resolve, waitMs));
    }
  } finally {
    platform.clearTimeout(timer);
  }
}
