/**
 * The App Engine Channel API: `goog.appengine.Channel` and `goog.appengine.Socket`.
 *
 * Handlers are copied from the argument of `open()` and read when an event fires. They are called with
 * the socket as `this`, and never from inside `open()`. Reconnecting is invisible to the page.
 */

import { Connection } from "./channel/connection.js";
import type { ConnectionError } from "./channel/connection-listener.js";
import { Credentials } from "./channel/credentials.js";
import { OUTBOX_MAX_MESSAGES } from "./channel/limits.js";
import { Outbox } from "./channel/outbox.js";
import { CLOSED, CLOSING, CONNECTING, OPEN } from "./channel/ready-state.js";
import type { Platform } from "./platform.js";
import * as codes from "./protocol/codes.js";
import { selectTransports } from "./transports/select.js";

export interface Handler {
  onopen?: ((this: Socket, event: object) => void) | null | undefined;
  onmessage?: ((this: Socket, event: { data: string }) => void) | null | undefined;
  onerror?: ((this: Socket, event: { description: string; code: number }) => void) | null | undefined;
  onclose?: ((this: Socket, event: object) => void) | null | undefined;
}

type EventName = "onopen" | "onmessage" | "onerror" | "onclose";

/** The class of an empty handler object, for pages that construct one and assign its members. */
function SocketHandler(): void {}

/** What `channel.open()` returns: the connection that receives messages. */
export class Socket {
  static readonly ReadyState = { CONNECTING, OPEN, CLOSING, CLOSED };

  static readonly Handler = SocketHandler as unknown as new () => Handler;

  readyState: number = CONNECTING;
  onopen: Handler["onopen"];
  onmessage: Handler["onmessage"];
  onerror: Handler["onerror"];
  onclose: Handler["onclose"];

  private readonly _connection: Connection;
  private readonly _outbox: Outbox;

  /** For `open()` only. Throws TypeError if the page calls it. */
  constructor(url: string, token: string, platform?: Platform, handler?: Handler | null) {
    if (!platform) throw new TypeError("use new goog.appengine.Channel(token).open()");
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
        onOpen: () => {
          if (this.readyState === CONNECTING) {
            this.readyState = OPEN;
            this._fire("onopen", {});
          }
          this._outbox.flush();
        },
        onMessage: ({ data }) => this._fire("onmessage", { data }),
        onGap: () => {}, // the Channel API has no event for it
        onError: (error) => this._handleError(error),
        onClose: () => this._handleClose(),
      },
    );
  }

  /** Send an update-message to the server. Returns false if the socket is closed. */
  send(data: unknown): boolean {
    if (this.readyState >= CLOSING) return false;
    this._outbox.send(String(data), {}).catch((error: Error & { status?: number }) => {
      if (this.readyState < CLOSING) {
        this._fire("onerror", { description: error.message, code: error.status ?? 0 });
      }
    });
    return true;
  }

  /** Close the connection. `onclose` is called once, a moment later. */
  close(): void {
    if (this.readyState >= CLOSING) return;
    this.readyState = CLOSING;
    this._connection.close();
  }

  private _handleError({ code, description, fatal }: ConnectionError): void {
    if (!fatal) return; // it reconnects by itself
    this.readyState = CLOSING;
    this._fire("onerror", { description, code: code in codes.TOKEN_DESCRIPTIONS ? 401 : code });
  }

  private _handleClose(): void {
    this.readyState = CLOSED;
    this._outbox.close();
    this._fire("onclose", {});
  }

  private _fire(name: EventName, event: object): void {
    const handler: unknown = this[name];
    if (typeof handler !== "function") return;
    try {
      handler.call(this, event);
    } catch (error) {
      // An error in the page's handler: let the browser report it, and continue.
      setTimeout(() => {
        throw error;
      });
    }
  }
}

/** Define `goog.appengine` on `root`. An existing `goog` is extended. */
export function install(root: { goog?: unknown }, url: string, platform: Platform): void {
  /** Works also without `new`, as in App Engine. */
  function Channel(this: unknown, token: unknown): unknown {
    const channel: object = this instanceof Channel ? this : Object.create(Channel.prototype);
    return Object.assign(channel, { _token: token });
  }
  Channel.prototype.open = function (this: { _token: unknown }, handler?: Handler | null) {
    return new Socket(url, String(this._token), platform, handler);
  };
  const goog = Object(root.goog ?? {});
  goog.appengine = Object.assign(goog.appengine ?? {}, { Channel, Socket });
  root.goog = goog;
}
