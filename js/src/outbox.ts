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
   * which costs less and does not wait for the answer to the one before.
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

/** How long the server may take to answer a post. */
const POST_TIMEOUT_MS = 30_000;

/** A longer message is posted: the server cuts a WebSocket for a frame over 256 KiB. */
const ASK_MAX_CHARACTERS = 65_536;

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
    /** Sends over the connection itself, which settles the item; false where it cannot. */
    private readonly _ask?: (item: Item) => boolean,
  ) {}

  /** Post in turn, now or when the line is up. */
  send(data: string, { to, group, over }: Target): Promise<SendAnswer> {
    if (typeof data !== "string") {
      return Promise.reject(
        new TypeError(`data is ${typeof data}; it must be a string: JSON.stringify() makes one`),
      );
    }
    if (this._ended) return Promise.reject(closed());
    const isAway = !this._isOpen() || !this._platform.isOnline();
    if (isAway && this._waiting.length >= this._limit) {
      return Promise.reject(
        new SendError(
          `${this._limit} messages wait already, the most while not connected; await "open" or raise outbox`,
        ),
      );
    }
    return new Promise((resolve, reject) => {
      const body = JSON.stringify({ data, to, group });
      const ask = over === "socket" && body.length <= ASK_MAX_CHARACTERS;
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
        if (item.ask && this._ask?.(item)) continue;
        // "Offline" may be wrong, since a server on this machine needs no network: so it is tried.
        const online = this._platform.isOnline();
        try {
          item.resolve(await this._post(item.body));
        } catch (error) {
          if (!online && !this._ended && (error as SendError).status === 0) {
            this._waiting.unshift(item); // it never left
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

  private async _post(body: string): Promise<SendAnswer> {
    let token = await this._credentials.get();
    let response = await this._request(token, body);
    if (response.status === 401 && this._credentials.renewable) {
      const { code } = await readProblem(response);
      if (code === codes.EXPIRED_TOKEN) {
        this._credentials.discard(token);
        token = await this._credentials.get();
        response = await this._request(token, body);
      }
    }
    if (!response.ok) {
      const { detail, retryAfterMs } = await readProblem(response);
      throw new SendError(detail, response.status, retryAfterMs);
    }
    const text = await response.text();
    return text ? (JSON.parse(text) as SendAnswer) : {};
  }

  private async _request(token: string, body: string): Promise<Response> {
    const { fetch } = this._platform;
    if (!fetch) throw new SendError("this browser has no fetch()");
    const controller = new AbortController();
    const timer = this._platform.setTimeout(() => controller.abort(), POST_TIMEOUT_MS);
    try {
      return await fetch(`${this._url}/v1/messages`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body,
        signal: controller.signal,
      });
    } catch (error) {
      throw new SendError(`no answer from the server: ${error}`);
    } finally {
      this._platform.clearTimeout(timer);
    }
  }
}

function closed(): SendError {
  return new SendError("the channel is closed");
}
