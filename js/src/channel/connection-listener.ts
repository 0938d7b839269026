/** The options and callbacks of a `Connection`. */

import type { Message, SessionInfo } from "../protocol/frames.js";
import type { Transport, TransportName } from "../transports/transport.js";
import type { Credentials } from "./credentials.js";

export interface ConnectionOptions {
  /** The server's base URL. */
  url: string;
  credentials: Credentials;
  /** In order of preference, at least one. */
  transports: readonly Transport[];
  /** Resume after this message id. */
  lastId: string | null;
}

/** An error to report to the application. */
export interface ConnectionError {
  /** A WebSocket close code. */
  code: number;
  description: string;
  /** Whether the connection ends. If not, it reconnects by itself. */
  fatal: boolean;
}

export interface ConnectionListener {
  /** Connected, for the first time or again. */
  onOpen(session: SessionInfo, transport: TransportName): void;
  onMessage(message: Message): void;
  /** Messages between the two ids were lost. */
  onGap(after: string | null, before: string | null): void;
  onError(error: ConnectionError): void;
  /** Called once, last. */
  onClose(code: number, reason: string): void;
}
