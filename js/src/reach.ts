/** Whether anybody answers at the server's address: a line may be dead, or a transport may not get through. */

import * as codes from "./codes.js";
import type { Platform } from "./platform.js";
import type { Dial, Link } from "./transport.js";
import { SUBPROTOCOL } from "./websocket.js";

/**
 * How long one call waits for an answer. The kernel repeats a lost SYN after 1, 3 and 7 s (newer ones
 * also between), then ever more rarely: a call that is made anew is answered within 4 s of the
 * line's return.
 */
const CALL_MS = 11_000;

/** Resolves when anybody answers over HTTP, whatever it is; rejects where nobody does. */
export async function knock(
  { fetch }: Platform,
  { url, token }: Omit<Dial, "lastId">,
  signal: AbortSignal,
): Promise<void> {
  if (!fetch) throw new Error("this browser cannot ask");
  const headers = { authorization: `Bearer ${token}` };
  await fetch(`${url}/v1/events`, { method: "HEAD", headers, cache: "no-store", signal });
}

/**
 * Calls until anybody answers at `url`, be it with a refusal, or another tab says so; then `heard`.
 *
 * By turns it calls in two ways, because browsers make both dear. After a dozen failures in four
 * minutes Chromium delays each WebSocket. And it opens at most six connections to an origin, and
 * does not give up one that is not made yet when its request is aborted: so many fruitless
 * requests, and the next one waits for the kernel's rarest repetitions.
 */
export class Caller implements Link {
  private _timer: unknown;
  private _hangUp: (() => void) | null = null;
  private _tabs: BroadcastChannel | null = null;

  constructor(
    private readonly _platform: Platform,
    private readonly _url: string,
    private readonly _heard: () => void,
  ) {
    const { BroadcastChannel } = _platform;
    try {
      this._tabs = BroadcastChannel ? new BroadcastChannel(`headrace reach ${_url}`) : null;
      if (this._tabs) this._tabs.onmessage = () => this._answered(false);
    } catch {
      // A page without an origin may not broadcast.
    }
    this._call(true);
  }

  close(): void {
    this._platform.clearTimeout(this._timer);
    this._hangUp?.();
    this._tabs?.close();
  }

  renew(): boolean {
    return false;
  }

  private _call(byWebSocket: boolean): void {
    this._timer = this._platform.setTimeout(() => {
      this._hangUp?.();
      this._call(!byWebSocket);
    }, CALL_MS);
    this._hangUp = (byWebSocket && this._callByWebSocket()) || this._callByHttp();
  }

  private _answered(isMine = true): void {
    if (isMine) this._tabs?.postMessage("answered");
    this.close();
    this._heard();
  }

  /** Returns what ends the call; null where the browser has no WebSocket, or does not allow it. */
  private _callByWebSocket(): (() => void) | null {
    const { WebSocket } = this._platform;
    let socket: WebSocket;
    try {
      if (!WebSocket) return null;
      // Without a token, so that it never becomes a session.
      socket = new WebSocket(`${this._url.replace(/^http/, "ws")}/v1/connect`, [SUBPROTOCOL]);
    } catch {
      return null;
    }
    socket.onopen = socket.onclose = () => this._answered();
    return () => {
      socket.onopen = socket.onclose = null;
      socket.close(codes.NORMAL);
    };
  }

  private _callByHttp(): (() => void) | null {
    const { fetch, origin } = this._platform;
    if (!fetch) return null;
    const controller = new AbortController();
    const { signal } = controller;
    const answered = () => {
      if (!signal.aborted) this._answered();
    };
    // A browser keeps connections with and without cookies apart. These are the ones that are of no
    // use to the transports, which ask as is usual: with cookies at the page's own origin only.
    const credentials = new URL(this._url).origin === origin ? "omit" : "include";
    const options = { method: "HEAD", mode: "no-cors", cache: "no-store", credentials, signal } as const;
    fetch(`${this._url}/healthz`, options).then(answered, answered);
    return () => controller.abort();
  }
}
