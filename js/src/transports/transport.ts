/** The interface of a transport: one way to be connected. Each transport has a file of its own. */

import type { CloseInfo } from "../protocol/close-info.js";
import type { Frame } from "../protocol/frames.js";

export type TransportName = "websocket" | "sse" | "poll";

/** What to connect to, and where in the message order to start. */
export interface ConnectOptions {
  /** The server's base URL: absolute, `http:` or `https:`, without a final slash. */
  url: string;
  token: string;
  /** Resume after this message id. */
  lastId: string | null;
  /**
   * Used if `lastId` is null: where an earlier attempt started, if the server may have sent messages
   * on it that never arrived.
   */
  since: string | null;
}

/** Callbacks of a transport. Never called from inside `connect()`. */
export interface TransportListener {
  onFrame(frame: Frame): void;
  /** Called once. No callback follows it. */
  onClose(info: CloseInfo): void;
}

/** A connection that is open or being opened. */
export interface TransportConnection {
  /** Close it. No callback follows. */
  close(): void;
  /** Continue with a new token. False or absent: this takes a new connection. */
  renew?(token: string): boolean;
  /** Send a text frame. Only a WebSocket has it. */
  send?: (text: string) => void;
}

export interface Transport {
  readonly name: TransportName;
  /** Start to connect. Throws what the browser's API throws, such as a SecurityError. */
  connect(options: ConnectOptions, listener: TransportListener): TransportConnection;
}

/** The URL of `path` on the server, with the position to start from. */
export function endpointUrl({ url, lastId, since }: ConnectOptions, path: string): string {
  return url + path + (lastId ? `?last_id=${lastId}` : since ? `?since=${since}` : "");
}
