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
/**
 * After so many calls the transport is tried all the same: there may be networks and pages that let
 * neither call through. By then browsers have given up the connections that came of the last try.
 */
const CALLS_MAX = 12;

/** Resolves when anybody answers over HTTP, whatever it is; rejects where nobody does. */
export async function knock({ fetch }: Platform, { url, token }: Dial, signal: AbortSignal): Promise<void> {
  if (!fetch) throw new Error("this browser cannot ask");
  const headers = { authorization: `Bearer ${token}` };
  await fetch(`${url}/v1/events`, { method: "HEAD", headers, cache: "no-store", signal });
}

/**
 * Calls until anybody answers at `url`, be it with a refusal, or another tab says so, or it has
 * called for long; then `heard`.
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
      if (BroadcastChannel) {
        this._tabs = new BroadcastChannel(`headrace reach ${_url}`);
        this._tabs.onmessage = () => this._end();
      }
    } catch {
      // A page without an origin may not broadcast.
    }
    this._call(1);
  }

  close(): void {
    this._platform.clearTimeout(this._timer);
    this._hangUp?.();
    this._tabs?.close();
  }

  private _call(number: number): void {
    this._timer = this._platform.setTimeout(() => {
      this._hangUp?.();
      if (number < CALLS_MAX) this._call(number + 1);
      else this._end();
    }, CALL_MS);
    this._hangUp = (number % 2 === 1 && this._callByWebSocket()) || this._callByHttp();
  }

  private _answered(): void {
    this._tabs?.postMessage("answered");
    this._end();
  }

  private _end(): void {
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
    // A browser keeps connections with and without cookies apart. These are the ones that are of no
    // use to the transports, which ask as is usual: with cookies at the page's own origin only.
    const credentials = new URL(this._url).origin === origin ? "omit" : "include";
    const options = { method: "HEAD", mode: "no-cors", cache: "no-store", credentials, signal } as const;
    fetch(`${this._url}/healthz`, options).then(
      () => {
        if (!signal.aborted) this._answered();
      },
      () => {}, // as when the kernel gives up a connection, perhaps of an earlier call
    );
    return () => controller.abort();
  }
}
