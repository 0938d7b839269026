/** The module form: a `Channel` that is an `EventTarget` and an async iterable of its messages. */

import { baseUrl, scriptOrigin } from "./address.js";
import { Connection } from "./connection.js";
import { Credentials, type TokenSource } from "./credentials.js";
import {
  ChannelCloseEvent,
  ChannelErrorEvent,
  ChannelGapEvent,
  ChannelMessageEvent,
  ChannelOpenEvent,
} from "./events.js";
import { Outbox, type SendAnswer, type Target } from "./outbox.js";
import { browserPlatform, type Platform } from "./platform.js";
import { isPosition } from "./position.js";
import { Queue } from "./queue.js";
import { selectTransports } from "./select.js";
import { ChannelTarget } from "./target.js";
import type { TransportName } from "./transport.js";

/** Sends that wait while not connected. */
const OUTBOX_MAX_MESSAGES = 100;
/** Messages that wait for the first listener or loop. */
const UNHEARD_MAX_MESSAGES = 1_000;

export interface ChannelOptions {
  /** A token, or a function that fetches a fresh one: called at first, before expiry and after it. */
  token: TokenSource;
  /** The server's base URL; by default the origin this script was loaded from. */
  url?: string | URL;
  /** What to try, in this order; by default WebSocket, Server-Sent Events, long poll. */
  transports?: readonly TransportName[];
  /** Resume after this id, which an earlier channel's `lastId` gave. */
  lastId?: string | null;
  /** How many sends may wait while not connected; 100 by default. */
  outbox?: number;
}

/** A client's channel; it connects at once and stays connected until `close()` or a final error. */
export class Channel extends ChannelTarget implements AsyncIterable<ChannelMessageEvent> {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;

  private readonly _connection: Connection;
  private readonly _outbox: Outbox;
  private readonly _queues = new Set<Queue<ChannelMessageEvent>>();
  /** Messages that nobody has heard yet; null once somebody listens. */
  private _unheard: ChannelMessageEvent[] | null = [];
  private _overflowed = false;
  private _closing = false;
  private _closed = false;

  /**
   * Throws TypeError for an option that cannot be used. `platform` replaces the browser in tests.
   * @internal
   */
  constructor(options: ChannelOptions, platform?: Platform);
  constructor(options: ChannelOptions);
  constructor(
    {
      token,
      url = scriptOrigin(import.meta.url),
      transports,
      lastId = null,
      outbox = OUTBOX_MAX_MESSAGES,
    }: ChannelOptions,
    platform: Platform = browserPlatform(),
  ) {
    super();
    if (typeof token !== "string" && typeof token !== "function") {
      throw new TypeError(`token is ${typeof token}; it must be a string or a function that gives one`);
    }
    if (lastId !== null && !isPosition(lastId)) {
      throw new TypeError(`lastId is ${lastId}; it must be an id such as "1732412345678-0"`);
    }
    const base = baseUrl(url);
    const credentials = new Credentials(token);
    this._outbox = new Outbox(
      base,
      credentials,
      platform,
      () => this._connection.isOpen,
      outbox,
      (item) => this._connection.ask(item),
    );
    this._connection = new Connection(
      { url: base, credentials, transports: selectTransports(platform, transports), lastId },
      platform,
      {
        open: (opened, transport) => {
          this.dispatchEvent(new ChannelOpenEvent(opened, transport));
          this._outbox.flush();
        },
        message: (message) => this._receive(new ChannelMessageEvent(message)),
        gap: (after, before) => this.dispatchEvent(new ChannelGapEvent(after, before)),
        error: (fault) => {
          if (fault.fatal) this._closing = true;
          this.dispatchEvent(new ChannelErrorEvent(fault));
        },
        close: (code, reason) => this._finish(code, reason),
      },
    );
  }

  /** CONNECTING (also while it reconnects), OPEN, CLOSING or CLOSED, as a WebSocket's. */
  get readyState(): 0 | 1 | 2 | 3 {
    if (this._closed) return Channel.CLOSED;
    if (this._closing) return Channel.CLOSING;
    return this._connection.isOpen ? Channel.OPEN : Channel.CONNECTING;
  }

  /** The id to resume from: of the last message, or where the channel started. */
  get lastId(): string | null {
    return this._connection.lastId;
  }

  /**
   * Send an update-message to the application, or to clients or a group that the token's `send`
   * claim covers. While not connected it waits. Rejects with SendError.
   */
  send(data: string, target: Target = {}): Promise<SendAnswer> {
    return this._outbox.send(data, target);
  }

  /** End the channel; `close` is dispatched a moment later. */
  close(): void {
    this._closing = true;
    this._connection.close();
  }

  /** The messages from now on (for the first loop or listener: from the start), until `close`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ChannelMessageEvent> {
    const queue = new Queue<ChannelMessageEvent>((left) => this._queues.delete(left));
    for (const event of this._takeUnheard()) queue.push(event);
    if (this._closed) queue.end();
    else this._queues.add(queue);
    return queue;
  }

  /** @internal */
  protected override listened(type: string): void {
    if (type !== "message" || !this._unheard) return;
    // Later, so that no event is dispatched from inside addEventListener.
    void Promise.resolve().then(() => {
      for (const event of this._takeUnheard()) this.dispatchEvent(event);
    });
  }

  private _receive(event: ChannelMessageEvent): void {
    if (!this._unheard) {
      for (const queue of this._queues) queue.push(event);
      this.dispatchEvent(event);
    } else if (this._unheard.push(event) > UNHEARD_MAX_MESSAGES) {
      this._unheard.shift();
      this._overflowed = true;
    }
  }

  private _takeUnheard(): ChannelMessageEvent[] {
    const unheard = this._unheard ?? [];
    this._unheard = null;
    const first = unheard[0];
    if (this._overflowed && first) this.dispatchEvent(new ChannelGapEvent(null, first.id));
    this._overflowed = false;
    return unheard;
  }

  private _finish(code: number, reason: string): void {
    this._closing = this._closed = true;
    this._outbox.end();
    for (const queue of this._queues) queue.end();
    this._queues.clear();
    this.dispatchEvent(new ChannelCloseEvent(code, reason));
  }
}
