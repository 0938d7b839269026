/** The events of a `Channel`. */

import type { Message, Opened } from "./frames.js";
import type { Fault } from "./listener.js";
import type { TransportName } from "./transport.js";

/** Connected, for the first time or again. */
export class ChannelOpenEvent extends Event {
  readonly clientId: string;
  /** The id after which this connection starts. */
  readonly id: string | null;
  /** null: fresh; true: nothing was lost since the last id; false: something may have been. */
  readonly recovered: boolean | null;
  /** When the token ends, in seconds of the Unix clock. */
  readonly expiresAt: number | null;

  constructor(
    opened: Opened,
    readonly transport: TransportName,
  ) {
    super("open");
    this.clientId = opened.clientId;
    this.id = opened.id;
    this.recovered = opened.recovered;
    this.expiresAt = opened.expiresAt;
  }
}

/** A message. */
export class ChannelMessageEvent extends Event {
  readonly data: string;
  /** Its place in the one total order. */
  readonly id: string;
  /** The group it was sent to, when it came through one. */
  readonly group: string | undefined;

  constructor(message: Message) {
    super("message");
    this.data = message.data;
    this.id = message.id;
    this.group = message.group;
  }
}

/** Messages were lost between the two ids. */
export class ChannelGapEvent extends Event {
  constructor(
    readonly after: string | null,
    readonly before: string | null,
  ) {
    super("gap");
  }
}

/** Something failed. Unless `fatal`, the channel comes back by itself. */
export class ChannelErrorEvent extends Event {
  /** A WebSocket close code. */
  readonly code: number;
  readonly description: string;
  /** Whether the channel ends with it. */
  readonly fatal: boolean;

  constructor(fault: Fault) {
    super("error");
    this.code = fault.code;
    this.description = fault.description;
    this.fatal = fault.fatal;
  }
}

/** The channel has ended, for good. */
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
