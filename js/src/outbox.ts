/** Update-messages to the server: sent one after another, kept while the line is down. */

import * as codes from "./codes.js";
import type { Credentials } from "./credentials.js";
import type { Platform } from "./platform.js";
import { readProblem } from "./problem.js";

/** Who is to get an update-message; neither: the application. */
export interface Target {
  to?: string | readonly string[];
  group?: string;
  /**
   * How it goes: by a request of its own (the default), or over the WebSocket where there is one,
   * which costs less and does not wait for the answer to the one before, if fewer than 64 are due.
   */
  over?: "http" | "socket";
}

/** The server's answer: an id and a count when it was relayed, neither when the application has it. */
export interface SendAnswer {
  id?: string;
  sessions?: number;
}

/** A send that failed. */
export class SendError extends Error {
  override readonly name = "SendError";

  /** `status` is the HTTP status, or 0 when there was no answer: then nobody knows whether it arrived. */
  constructor(
    message: string,
    readonly status = 0,
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }
}

/** How long the server may take to answer a message. */
export const POST_TIMEOUT_MS = 30_000;

/** A longer message is posted: the server cuts a WebSocket for a frame over 256 KiB. */
const ASK_MAX_CHARACTERS = 65_536;
/**
 * Half of a surrogate pair, as JSON.stringify() writes it. The server cannot read a frame that has
 * one, not even its number, and could not say so to the sender: it is posted, and refused. (What
 * only looks like one, behind a backslash of the text's own, is posted too, and taken.)
 */
const LONE_SURROGATE = /\\ud[89a-f]/;

/** A message on its way. */
export interface Item {
  /** A JSON object, which begins with its first member. */
  body: string;
  /** Over the connection itself, if it can. */
  ask: boolean;
  resolve(answer: SendAnswer): void;
  reject(error: Error): void;
}

export class Outbox {
  private readonly _waiting: Item[] = [];
  private _busy = false;
  /** Whether to go on: something was added, or the line came up. */
  private _asked = false;
  private _ended = false;

  /** `isOpen` says whether the line is up; while it is down at most `limit` sends wait. */
  constructor(
    private readonly _url: string,
    private readonly _credentials: Credentials,
    private readonly _platform: Platform,
    private readonly _isOpen: () => boolean,
    private readonly _limit: number,
    /**
     * Sends over the connection itself, which settles the item; false where it cannot. Resolves when
     * it can take the next one.
     */
    private readonly _ask?: (item: Item) => Promise<void> | false,
  ) {}

  /** Post in turn, now or when the line is up. */
  async send(data: string, { to, group, over }: Target): Promise<SendAnswer> {
    if (typeof data !== "string") {
      throw new TypeError(`data is ${typeof data}; it must be a string: JSON.stringify() makes one`);
    }
    if (this._ended) throw closed();
    const isAway = !this._isOpen() || !this._platform.isOnline();
    if (isAway && this._waiting.length >= this._limit) {
      throw new SendError(
        `${this._limit} messages wait already, the most while not connected; await "open" or raise outbox`,
      );
    }
    return new Promise((resolve, reject) => {
      const body = JSON.stringify({ data, to, group });
      const ask = over === "socket" && body.length <= ASK_MAX_CHARACTERS && !LONE_SURROGATE.test(body);
      this._waiting.push({ body, ask, resolve, reject });
      this.flush();
    });
  }

  /** The line is up: post what waits. */
  flush(): void {
    this._asked = true;
    if (!this._busy) void this._work();
  }

  /** The channel has ended: what waits will not be posted. */
  end(): void {
    this._ended = true;
    for (const { reject } of this._waiting.splice(0)) reject(closed());
  }

  private async _work(): Promise<void> {
    this._busy = true;
    while (this._asked) {
      this._asked = false;
      for (let item = this._next(); item; item = this._next()) {
        const asked = item.ask && this._ask?.(item);
        if (asked) {
          await asked;
          continue;
        }
        // "Offline" may be wrong, since a server on this machine needs no network: so it is tried.
        const online = this._platform.isOnline();
        try {
          item.resolve(await this._post(item.body));
        } catch (error) {
          if (!online && !this._ended && error instanceof Unsent) {
            this._waiting.unshift(item);
            break;
          }
          item.reject(error as Error);
        }
      }
    }
    this._busy = false;
  }

  private _next(): Item | undefined {
    return this._isOpen() ? this._waiting.shift() : undefined;
  }

  /** Post, and wait for the answer, but not long: the next one cannot go before. */
  private async _post(body: string): Promise<SendAnswer> {
    const { fetch } = this._platform;
    if (!fetch) throw new SendError("this browser has no fetch()");
    const controller = new AbortController();
    const { signal } = controller;
    const request = (token: string) => {
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      return fetch(`${this._url}/v1/messages`, { method: "POST", headers, body, signal }).catch((error) => {
        throw new Unsent(error);
      });
    };
    let timer: unknown;
    const late = new Promise<never>((_, reject) => {
      timer = this._platform.setTimeout(() => {
        reject(noAnswer());
        controller.abort();
      }, POST_TIMEOUT_MS);
    });
    try {
      return await Promise.race([late, this._exchange(request)]);
    } finally {
      this._platform.clearTimeout(timer);
    }
  }

  /** Make the request, and once more if the token in hand has expired and another can be had. */
  private async _exchange(
    request: (token: string) => Promise<Response>,
    isLast = !this._credentials.renewable,
  ): Promise<SendAnswer> {
    const token = await this._credentials.get();
    const response = await request(token);
    if (response.ok) {
      return response
        .text()
        .then((text) => (text ? JSON.parse(text) : {}))
        .catch((error) => {
          throw noAnswer(error);
        });
    }
    const { code, detail, retryAfterMs } = await readProblem(response);
    if (isLast || code !== codes.EXPIRED_TOKEN) throw new SendError(detail, response.status, retryAfterMs);
    this._credentials.discard(token);
    return this._exchange(request, true);
  }
}

/** Nobody knows whether the message arrived. */
export function noAnswer(why: unknown = "it took over 30 s"): SendError {
  return new SendError(`no answer from the server: ${why}`);
}

/** No request was made, as far as the browser can tell. */
class Unsent extends SendError {
  constructor(why: unknown) {
    super(noAnswer(why).message);
  }
}

function closed(): SendError {
  return new SendError("the channel is closed");
}
