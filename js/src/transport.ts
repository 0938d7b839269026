/** The one interface of the ways to be connected; each has a file of its own. */

import * as codes from "./codes.js";
import type { Frame } from "./frames.js";

export type TransportName = "websocket" | "sse" | "poll";

/** What a connection starts from. */
export interface Dial {
  /** The server's base URL, absolute, `http:` or `https:`, without a slash at its end. */
  url: string;
  token: string;
  /** Resume after this id. */
  lastId: string | null;
  /** Without a last id: where an earlier try may have begun, and been served without our knowing. */
  since: string | null;
}

/** Why a connection ended, or never came about. */
export interface Loss {
  /** A close code of `codes.ts`; an HTTP answer is given the code with the same meaning. */
  code: number;
  reason: string;
  /** Whether a Headrace server answered, so that the transport is not to blame. */
  reached: boolean;
  /** The server's own wish, from `Retry-After`. */
  retryAfterMs?: number | null;
}

/** A loss of which no close code tells. */
export function abnormal(reason: unknown, reached = false): Loss {
  return { code: codes.ABNORMAL, reason: String(reason), reached };
}

/** Where a transport reports to; never called from inside `connect`. */
export interface Sink {
  frame(frame: Frame): void;
  /** Comes once; nothing comes after it. */
  lost(loss: Loss): void;
}

/** A connection that was asked for. */
export interface Link {
  /** End it; the sink hears nothing any more. */
  close(): void;
  /** Go on with this token; false, or not there, where that takes a new connection. */
  renew?(token: string): boolean;
  /** Send a frame; only a WebSocket can. */
  send?: (text: string) => void;
}

export interface Transport {
  readonly name: TransportName;
  /** Start connecting. May throw where the browser refuses to. */
  connect(dial: Dial, sink: Sink): Link;
}

/** The address of `path` on the server, with the place to begin at. */
export function address({ url, lastId, since }: Dial, path: string): string {
  return url + path + (lastId ? `?last_id=${lastId}` : since ? `?since=${since}` : "");
}
