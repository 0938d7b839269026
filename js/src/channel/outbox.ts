/** The queue of update-messages to the server. They are sent in order, and wait while not connected. */

import type { Platform } from "../platform.js";
import * as codes from "../protocol/codes.js";
import { readProblem } from "../protocol/problem.js";
import { noAnswerError, type SendAnswer, SendError, type Target } from "../protocol/send.js";
import type { Credentials } from "./credentials.js";
import { SEND_TIMEOUT_MS, SOCKET_SEND_MAX_CHARACTERS } from "./limits.js";

/**
 * Half of a surrogate pair, as JSON.stringify() writes it. The server cannot decode such a frame, so
 * it could not report the error with the frame's number. The message is posted instead, and refused.
 * (Text with a literal backslash in front of the same characters matches too; it is posted, and
 * accepted.)
 */
const LONE_SURROGATE = /\\ud[89a-f]/;

export interface OutgoingMessage {
  /** A JSON object with at least one member. */
  body: string;
  /** Whether to send it over the WebSocket, if there is one. */
  overSocket: boolean;
  resolve(answer: SendAnswer): void;
  reject(error: Error): void;
}

export class Outbox {
  private readonly _waiting: OutgoingMessage[] = [];
  private _flushing = false;
  /** Whether to look at the queue again: a message was added, or the connection opened. */
  private _flushRequested = false;
  private _closed = false;

  constructor(
    private readonly _url: string,
    private readonly _credentials: Credentials,
    private readonly _platform: Platform,
    /** Whether the client is connected. */
    private readonly _isOpen: () => boolean,
    /** How many messages may wait while it is not. */
    private readonly _maxMessages: number,
    /** Sends over the WebSocket, see `PendingReplies.send`. False if there is none. */
    private readonly _sendOverSocket?: (message: OutgoingMessage) => Promise<void> | false,
  ) {}

  /** Send a message now, or when connected. Rejects with SendError, or TypeError if `data` is no string. */
  async send(data: string, { to, group, over }: Target): Promise<SendAnswer> {
    if (typeof data !== "string") {
      throw new TypeError(`data is ${typeof data}; it must be a string: use JSON.stringify()`);
    }
    if (this._closed) throw closedError();
    const isDisconnected = !this._isOpen() || !this._platform.isOnline();
    if (isDisconnected && this._waiting.length >= this._maxMessages) {
      throw new SendError(
        `${this._maxMessages} messages are waiting, the limit while not connected; wait for "open" or raise outbox`,
      );
    }
    return new Promise((resolve, reject) => {
      const body = JSON.stringify({ data, to, group });
      const overSocket =
        over === "socket" && body.length <= SOCKET_SEND_MAX_CHARACTERS && !LONE_SURROGATE.test(body);
      this._waiting.push({ body, overSocket, resolve, reject });
      this.flush();
    });
  }

  /** Send the waiting messages. Call when the connection has opened. */
  flush(): void {
    this._flushRequested = true;
    if (!this._flushing) void this._sendWaiting();
  }

  /** The channel is closed: reject the waiting messages and all later ones. */
  close(): void {
    this._closed = true;
    for (const { reject } of this._waiting.splice(0)) reject(closedError());
  }

  private async _sendWaiting(): Promise<void> {
    this._flushing = true;
    while (this._flushRequested) {
      this._flushRequested = false;
      for (let message = this._next(); message; message = this._next()) {
        const capacity = message.overSocket && this._sendOverSocket?.(message);
        if (capacity) {
          await capacity;
          continue;
        }
        // Try it even if offline: a server on this machine needs no network.
        const online = this._platform.isOnline();
        try {
          message.resolve(await this._post(message.body));
        } catch (error) {
          if (!online && !this._closed && error instanceof RequestFailedError) {
            this._waiting.unshift(message);
            break;
          }
          message.reject(error as Error);
        }
      }
    }
    this._flushing = false;
  }

  private _next(): OutgoingMessage | undefined {
    return this._isOpen() ? this._waiting.shift() : undefined;
  }

  /** Post a message and wait for the answer, for a limited time because the next message waits too. */
  private async _post(body: string): Promise<SendAnswer> {
    const controller = new AbortController();
    let timer: unknown;
    const timeout = new Promise<never>((_, reject) => {
      timer = this._platform.setTimeout(() => {
        reject(noAnswerError());
        controller.abort();
      }, SEND_TIMEOUT_MS);
    });
    try {
      return await Promise.race([timeout, this._request(body, controller.signal)]);
    } finally {
      this._platform.clearTimeout(timer);
    }
  }

  /** Make the request. If the token has expired, fetch a new one and repeat the request once. */
  private async _request(
    body: string,
    signal: AbortSignal,
    isLast = !this._credentials.renewable,
  ): Promise<SendAnswer> {
    const { fetch } = this._platform;
    if (!fetch) throw new SendError("this browser has no fetch()");
    const token = await this._credentials.get();
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const init = { method: "POST", headers, body, signal };
    const response = await fetch(`${this._url}/v1/messages`, init).catch((error) => {
      throw new RequestFailedError(error);
    });
    if (response.ok) {
      return response
        .text()
        .then((text) => (text ? JSON.parse(text) : {}))
        .catch((error) => {
          throw noAnswerError(error);
        });
    }
    const { code, reason, retryAfterMs } = await readProblem(response);
    if (isLast || code !== codes.EXPIRED_TOKEN) throw new SendError(reason, response.status, retryAfterMs);
    this._credentials.discard(token);
    return this._request(body, signal, true);
  }
}

/** `fetch()` rejected. As far as the browser can tell, no request was made. */
class RequestFailedError extends SendError {
  constructor(cause: unknown) {
    super(noAnswerError(cause).message);
  }
}

function closedError(): SendError {
  return new SendError("the channel is closed");
}
