/**
 * The App Engine form: `goog.appengine.Channel` and `goog.appengine.Socket`.
 *
 * Handlers are copied from `open()`'s argument, read when an event fires, and called with `this`
 * the socket, never from inside `open()`. Lost connections come back without the page noticing.
 */

import * as codes from "./codes.js";
import { Connection } from "./connection.js";
import { Credentials } from "./credentials.js";
import type { Fault } from "./listener.js";
import { Outbox } from "./outbox.js";
import type { Platform } from "./platform.js";
import { selectTransports } from "./select.js";

/** Sends that wait while not connected. */
const OUTBOX_MAX_MESSAGES = 100;

const ReadyState = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 } as const;

export interface Handler {
  onopen?: ((this: Socket, event: object) => void) | null | undefined;
  onmessage?: ((this: Socket, event: { data: string }) => void) | null | undefined;
  onerror?: ((this: Socket, event: { description: string; code: number }) => void) | null | undefined;
  onclose?: ((this: Socket, event: object) => void) | null | undefined;
}

type EventName = "onopen" | "onmessage" | "onerror" | "onclose";

/** The open connection that listens. */
export class Socket {
  static readonly ReadyState = ReadyState;

  readyState: number = ReadyState.CONNECTING;
  onopen: Handler["onopen"];
  onmessage: Handler["onmessage"];
  onerror: Handler["onerror"];
  onclose: Handler["onclose"];

  private readonly _connection: Connection;
  private readonly _outbox: Outbox;

  constructor(url: string, token: string, platform: Platform, handler: Handler | null | undefined) {
    this.onopen = handler?.onopen;
    this.onmessage = handler?.onmessage;
    this.onerror = handler?.onerror;
    this.onclose = handler?.onclose;
    const credentials = new Credentials(token);
    this._outbox = new Outbox(url, credentials, platform, () => this._connection.isOpen, OUTBOX_MAX_MESSAGES);
    this._connection = new Connection(
      { url, credentials, transports: selectTransports(platform), lastId: null },
      platform,
      {
        open: () => {
          if (this.readyState === ReadyState.CONNECTING) {
            this.readyState = ReadyState.OPEN;
            this._fire("onopen", {});
          }
          this._outbox.flush();
        },
        message: ({ data }) => this._fire("onmessage", { data }),
        gap: () => {}, // the old API has no word for it
        error: (fault) => this._fail(fault),
        close: () => this._finish(),
      },
    );
  }

  /** Send an update-message to the server; false when the socket is closed. */
  send(data: unknown): boolean {
    if (this.readyState >= ReadyState.CLOSING) return false;
    this._outbox.send(String(data), {}).catch((error: Error & { status?: number }) => {
      if (this.readyState < ReadyState.CLOSING) {
        this._fire("onerror", { description: error.message, code: error.status ?? 0 });
      }
    });
    return true;
  }

  /** End the connection; `onclose` comes a moment later, once. */
  close(): void {
    if (this.readyState >= ReadyState.CLOSING) return;
    this.readyState = ReadyState.CLOSING;
    this._connection.close();
  }

  private _fail({ code, description, fatal }: Fault): void {
    if (!fatal) return; // it comes back by itself
    this.readyState = ReadyState.CLOSING;
    this._fire("onerror", { description, code: code in codes.TOKEN_DESCRIPTIONS ? 401 : code });
  }

  private _finish(): void {
    this.readyState = ReadyState.CLOSED;
    this._outbox.end();
    this._fire("onclose", {});
  }

  private _fire(name: EventName, event: object): void {
    const handler: unknown = this[name];
    if (typeof handler !== "function") return;
    try {
      handler.call(this, event);
    } catch (error) {
      // The page's own fault: shown by the browser, and the channel goes on.
      setTimeout(() => {
        throw error;
      });
    }
  }
}

/** Put `goog.appengine` into `root`, keeping whatever `goog` holds already. */
export function install(root: { goog?: unknown }, url: string, platform: Platform): void {
  /** Also without `new`, as the original allowed. */
  function Channel(this: unknown, token: unknown): unknown {
    const open = (handler?: Handler | null) => new Socket(url, String(token), platform, handler);
    const channel: object = this instanceof Channel ? this : Object.create(Channel.prototype);
    return Object.assign(channel, { open });
  }
  const goog = Object(root.goog ?? {});
  goog.appengine = Object.assign(goog.appengine ?? {}, { Channel, Socket });
  root.goog = goog;
}
