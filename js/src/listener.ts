/** What a connection is made from, and what it tells. */

import type { Credentials } from "./credentials.js";
import type { Message, Opened } from "./frames.js";
import type { Transport, TransportName } from "./transport.js";

/** An error for the application. */
export interface Fault {
  code: number;
  description: string;
  /** Whether the connection ends with it. */
  fatal: boolean;
}

export interface Listener {
  open(opened: Opened, transport: TransportName): void;
  message(message: Message): void;
  gap(after: string | null, before: string | null): void;
  error(fault: Fault): void;
  close(code: number, reason: string): void;
}

export interface ConnectionOptions {
  url: string;
  credentials: Credentials;
  /** In the order of preference. */
  transports: readonly [Transport, ...Transport[]];
  lastId: string | null;
}
