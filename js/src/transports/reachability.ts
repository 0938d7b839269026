/** Whether the server can be reached, apart from the transport in use. */

import type { Platform } from "../platform.js";
import * as codes from "../protocol/codes.js";
import { request } from "./http.js";
import { MAX_PROBES, PROBE_TIMEOUT_MS } from "./limits.js";
import type { ConnectOptions } from "./transport.js";
import { openWebSocket } from "./websocket.js";

/** Resolves on any HTTP response from the server, whatever its status. Rejects if there is none. */
export async function probe(
  { fetch }: Platform,
  options: ConnectOptions,
  signal: AbortSignal | null,
): Promise<void> {
  if (!fetch) throw new Error("this browser has no fetch()");
  await request(fetch, options, "/v1/events", "*/*", signal, "HEAD");
}

/**
 * Whether the server is up, but refuses the requests of this page's origin. A browser reports such a
 * refusal as a network error. Pages of any origin may read `headrace.js`, so a proxy that answers for
 * a server which is down is not taken for a refusal.
 */
export async function isOriginRefused(platform: Platform, options: ConnectOptions): Promise<boolean> {
  const response = await platform.fetch?.(`${options.url}/headrace.js`, {
    method: "HEAD",
    cache: "no-store",
  });
  if (!response?.ok) return false;
  return probe(platform, options, null).then(
    () => false,
    () => true,
  );
}

/**
 * Probes the server until it answers, then calls `onReachable` once. Any answer counts, also an
 * error. It also stops when another tab reports an answer, and after `MAX_PROBES`.
 *
 * Probes alternate between WebSocket and HTTP, because browsers limit both. Chromium delays every
 * WebSocket after a dozen failures within four minutes. It also opens at most six connections to an
 * origin, and keeps an unfinished connection when its request is aborted. After six unanswered
 * requests, the next one waits for the kernel's rarest SYN retries.
 */
export class ReachabilityMonitor {
  private _timer: unknown;
  private _cancelProbe: (() => void) | null = null;
  private _tabs: BroadcastChannel | null = null;

  constructor(
    private readonly _platform: Platform,
    private readonly _url: string,
    private readonly _onReachable: () => void,
  ) {
    const { BroadcastChannel } = _platform;
    try {
      if (BroadcastChannel) {
        this._tabs = new BroadcastChannel(`headrace reachability ${_url}`);
        this._tabs.onmessage = () => this._finish();
      }
    } catch {
      // A page with an opaque origin may not broadcast.
    }
    this._startProbe(1);
  }

  close(): void {
    this._platform.clearTimeout(this._timer);
    this._cancelProbe?.();
    this._tabs?.close();
  }

  private _startProbe(number: number): void {
    this._timer = this._platform.setTimeout(() => {
      this._cancelProbe?.();
      if (number < MAX_PROBES) this._startProbe(number + 1);
      else this._finish();
    }, PROBE_TIMEOUT_MS);
    this._cancelProbe = (number % 2 === 1 && this._probeByWebSocket()) || this._probeByHttp();
  }

  private _handleAnswer(): void {
    this._tabs?.postMessage("answered");
    this._finish();
  }

  private _finish(): void {
    this.close();
    this._onReachable();
  }

  /** Returns a function that cancels the probe; null if the browser lacks or forbids WebSocket. */
  private _probeByWebSocket(): (() => void) | null {
    const { WebSocket } = this._platform;
    let socket: WebSocket;
    try {
      if (!WebSocket) return null;
      // Without a token, so that the server does not start a session.
      socket = openWebSocket(WebSocket, `${this._url}/v1/connect`);
    } catch {
      return null;
    }
    socket.onopen = socket.onclose = () => this._handleAnswer();
    return () => {
      socket.onopen = socket.onclose = null;
      socket.close(codes.NORMAL);
    };
  }

  /** Returns a function that cancels the probe; null if the browser has no `fetch`. */
  private _probeByHttp(): (() => void) | null {
    const { fetch, origin } = this._platform;
    if (!fetch) return null;
    const controller = new AbortController();
    const { signal } = controller;
    // Browsers use separate connections for requests with and without cookies. The transports use
    // fetch's default, cookies at the page's own origin only. The probe uses the opposite, so that
    // it does not occupy the transports' connections.
    const credentials = new URL(this._url).origin === origin ? "omit" : "include";
    const options = { method: "HEAD", mode: "no-cors", cache: "no-store", credentials, signal } as const;
    fetch(`${this._url}/healthz`, options).then(
      () => {
        if (!signal.aborted) this._handleAnswer();
      },
      () => {}, // no answer: the kernel may have given up a connection, perhaps of an earlier probe
    );
    return () => controller.abort();
  }
}
