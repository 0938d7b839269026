/** The events of a `Channel`. */

import type { Message, SessionInfo } from "../protocol/frames.js";
import type { TransportName } from "../transports/transport.js";
import type { ConnectionError } from "./connection-listener.js";

/** Connected, for the first time or again. */
export class ChannelOpenEvent extends Event {
  readonly clientId: string;
  /** The connection delivers the messages after this id. */
  readonly id: string | null;
  /** null: not resumed. true: resumed, and nothing was lost. false: messages may have been lost. */
  readonly recovered: boolean | null;
  /** When the token expires, in seconds of Unix time. */
  readonly expiresAt: number | null;

  constructor(
    session: SessionInfo,
    readonly transport: TransportName,
  ) {
    super("open");
    this.clientId = session.clientId;
    this.id = session.id;
    this.recovered = session.recovered;
    this.expiresAt = session.expiresAt;
  }
}

/** A message. */
export class ChannelMessageEvent extends Event {
  declare readonly data: string;
  /** The position of the message in the one total order. */
  declare readonly id: string;
  /** The group it was sent to, if any. */
  declare readonly group: string | undefined;

  constructor(message: Message) {
    super("message");
    Object.assign(this, message);
  }
}

/** Messages between the two ids were lost. */
export class ChannelGapEvent extends Event {
  constructor(
    readonly after: string | null,
    readonly before: string | null,
  ) {
    super("gap");
  }
}

/** An error. Unless it is `fatal`, the channel reconnects by itself. */
export class ChannelErrorEvent extends Event {
  /** A WebSocket close code. */
  declare readonly code: number;
  declare readonly description: string;
  /** Whether the channel ends. */
  declare readonly fatal: boolean;

  constructor(error: ConnectionError) {
    super("error");
    Object.assign(this, error);
  }
}

/** The channel has ended. It does not reconnect. */
export class ChannelCloseEvent extends Event {
  constructor(
    readonly code: number,
    readonly reason: string,
  ) {
    super("close");
  }
}

export interface ChannelEventMap {
  open: ChannelOpenEvent;
  message: ChannelMessageEvent;
  gap: ChannelGapEvent;
  error: ChannelErrorEvent;
  close: ChannelCloseEvent;
}
