/** The public `Channel`: an `EventTarget`, and an async iterable of its messages. */

import { browserPlatform, type Platform } from "../platform.js";
import { isPosition } from "../protocol/position.js";
import type { SendAnswer, Target } from "../protocol/send.js";
import { selectTransports } from "../transports/select.js";
import type { TransportName } from "../transports/transport.js";
import { baseUrl, scriptOrigin } from "../urls.js";
import { AsyncQueue } from "./async-queue.js";
import { Connection } from "./connection.js";
import { Credentials, type TokenSource } from "./credentials.js";
import { ChannelEventTarget, type EventCallback } from "./event-target.js";
import {
  ChannelCloseEvent,
  ChannelErrorEvent,
  type ChannelEventMap,
  ChannelGapEvent,
  ChannelMessageEvent,
  ChannelOpenEvent,
} from "./events.js";
import { BUFFER_MAX_MESSAGES, OUTBOX_MAX_MESSAGES } from "./limits.js";
import { Outbox } from "./outbox.js";
import { CLOSED, CLOSING, CONNECTING, OPEN } from "./ready-state.js";

export interface ChannelOptions {
  /** A token, or a function that fetches one. It is called at the start, before expiry and after it. */
  token: TokenSource;
  /** The server's base URL. Default: the origin that this script was loaded from. */
  url?: string | URL;
  /** The transports to try, in this order. Default: WebSocket, Server-Sent Events, long polling. */
  transports?: readonly TransportName[];
  /** Resume after this message id, which is the `lastId` of an earlier channel. */
  lastId?: string | null;
  /** How many sent messages may wait while not connected. Default: 100. */
  outbox?: number;
}

/** A client's channel. It connects at once and stays connected until `close()` or a fatal error. */
export class Channel extends ChannelEventTarget implements AsyncIterable<ChannelMessageEvent> {
  /** The values of `readyState`, which are those of a WebSocket. */
  static readonly CONNECTING = CONNECTING;
  static readonly OPEN = OPEN;
  static readonly CLOSING = CLOSING;
  static readonly CLOSED = CLOSED;

  private readonly _connection: Connection;
  private readonly _outbox: Outbox;
  private readonly _queues = new Set<AsyncQueue<ChannelMessageEvent>>();
  /** Messages before the first listener or loop; null after that. */
  private _buffer: ChannelMessageEvent[] | null = [];
  private _bufferOverflowed = false;
  private _closing = false;
  private _closed = false;

  /**
   * Throws TypeError for an invalid option. Tests replace the browser with `platform`.
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
      throw new TypeError(`token is ${typeof token}; it must be a string or a function that returns one`);
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
      (message) => this._connection.send(message),
    );
    this._connection = new Connection(
      { url: base, credentials, transports: selectTransports(platform, transports), lastId },
      platform,
      {
        onOpen: (session, transport) => {
          this.dispatchEvent(new ChannelOpenEvent(session, transport));
          this._outbox.flush();
        },
        onMessage: (message) => this._receive(new ChannelMessageEvent(message)),
        onGap: (after, before) => this.dispatchEvent(new ChannelGapEvent(after, before)),
        onError: (error) => {
          if (error.fatal) this._closing = true;
          this.dispatchEvent(new ChannelErrorEvent(error));
        },
        onClose: (code, reason) => this._handleClose(code, reason),
      },
    );
  }

  /** CONNECTING (also while reconnecting), OPEN, CLOSING or CLOSED. */
  get readyState(): 0 | 1 | 2 | 3 {
    if (this._closed) return CLOSED;
    if (this._closing) return CLOSING;
    return this._connection.isOpen ? OPEN : CONNECTING;
  }

  /** The id to resume from: of the last message, or where the channel started. */
  get lastId(): string | null {
    return this._connection.lastId;
  }

  /**
   * Send an update-message to the application, or to clients or a group that the token's `send`
   * claim covers. It waits while not connected. Rejects with SendError.
   */
  send(data: string, target: Target = {}): Promise<SendAnswer> {
    return this._outbox.send(data, target);
  }

  /** End the channel. `close` is dispatched a moment later. */
  close(): void {
    this._closing = true;
    this._connection.close();
  }

  /** The messages from now on, until `close`. The first loop or listener also gets the earlier ones. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ChannelMessageEvent> {
    const queue = new AsyncQueue<ChannelMessageEvent>((returned) => this._queues.delete(returned));
    for (const event of this._takeBuffer()) queue.push(event);
    if (this._closed) queue.end();
    else this._queues.add(queue);
    return queue;
  }

  /** The first "message" listener also gets the earlier messages. */
  override addEventListener<K extends keyof ChannelEventMap>(
    type: K,
    listener: EventCallback<ChannelEventMap[K]> | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener, options);
    if (!listener || type !== "message" || !this._buffer) return;
    // Later, so that no event is dispatched from inside addEventListener().
    void Promise.resolve().then(() => {
      for (const event of this._takeBuffer()) this.dispatchEvent(event);
    });
  }

  private _receive(event: ChannelMessageEvent): void {
    if (!this._buffer) {
      for (const queue of this._queues) queue.push(event);
      this.dispatchEvent(event);
    } else if (this._buffer.push(event) > BUFFER_MAX_MESSAGES) {
      this._buffer.shift();
      this._bufferOverflowed = true;
    }
  }

  private _takeBuffer(): ChannelMessageEvent[] {
    const buffer = this._buffer ?? [];
    this._buffer = null;
    const first = buffer[0];
    if (this._bufferOverflowed && first) this.dispatchEvent(new ChannelGapEvent(null, first.id));
    this._bufferOverflowed = false;
    return buffer;
  }

  private _handleClose(code: number, reason: string): void {
    this._closing = this._closed = true;
    this._outbox.close();
    for (const queue of this._queues) queue.end();
    this._queues.clear();
    this.dispatchEvent(new ChannelCloseEvent(code, reason));
  }
}
