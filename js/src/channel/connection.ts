/**
 * The state machine that keeps one client connected. `Channel` and the App Engine `Socket` are two
 * interfaces to it.
 *
 * `onOpen`, `onMessage`, `onGap` and `onError` are called whenever they occur, `onClose` once, last.
 * No callback is called from inside the constructor or `close()`.
 */

import type { Platform } from "../platform.js";
import { abnormalClose, type CloseInfo, isAbnormal } from "../protocol/close-info.js";
import * as codes from "../protocol/codes.js";
import { DEFAULT_PING_INTERVAL_MS, type Frame, type SessionInfo } from "../protocol/frames.js";
import { isToken } from "../protocol/token.js";
import { TransportFallback } from "../transports/fallback.js";
import { isOriginRefused, probe, ReachabilityMonitor } from "../transports/reachability.js";
import type {
  ConnectOptions,
  Transport,
  TransportConnection,
  TransportListener,
} from "../transports/transport.js";
import { Backoff } from "./backoff.js";
import type { ConnectionListener, ConnectionOptions } from "./connection-listener.js";
import { assertTransition, ConnectionState } from "./connection-state.js";
import * as limits from "./limits.js";
import type { OutgoingMessage } from "./outbox.js";
import { PendingReplies } from "./pending-replies.js";
import { ResumePosition } from "./resume-position.js";
import { TokenRenewal } from "./token-renewal.js";

export class Connection {
  private _state: ConnectionState = ConnectionState.Waiting;
  /** Counts connections; callbacks of an earlier one are ignored. */
  private _generation = 0;
  private _transportConnection: TransportConnection | null = null;
  private _monitor: ReachabilityMonitor | null = null;
  /** The token of the current connection; empty before there is one. */
  private _token = "";
  /** The timer of the current state. */
  private _timer: unknown = null;
  private _connectStartedAt = 0;
  private _openedAt = 0;
  private _lastFrameAt = 0;
  private _silenceMaxMs = DEFAULT_PING_INTERVAL_MS * limits.SILENCE_MAX_PING_INTERVALS;
  /** The delay that the server asked for with a "reconnect" frame. */
  private _reconnectDelayMs: number | null = null;
  /** Whether the server may refuse this page's origin: not connected before, and not reported. */
  private _mayBeRefused = true;
  /** Until this time the server is assumed to be restarting. */
  private _restartEndsAt = 0;
  private readonly _position = new ResumePosition(this._options.lastId);
  private readonly _credentials = this._options.credentials;
  private readonly _pendingReplies = new PendingReplies(this._platform);
  private readonly _backoff = new Backoff(this._platform.random);
  private readonly _fallback: TransportFallback;
  private readonly _renewal: TokenRenewal;
  private readonly _unsubscribe: () => void;

  constructor(
    private readonly _options: ConnectionOptions,
    private readonly _platform: Platform,
    private readonly _listener: ConnectionListener,
  ) {
    this._fallback = new TransportFallback(_options.transports, _platform.storage, _options.url);
    this._renewal = new TokenRenewal(
      _options.credentials,
      _platform,
      (token) => {
        if (this._transportConnection?.renew?.(token)) this._token = token;
        else this._reconnectNow();
      },
      (error) => this._reportError(abnormalClose(`token() failed: ${error}`)),
    );
    this._unsubscribe = _platform.onWake((online) => this._handleWake(online));
    this._startAttempt();
  }

  get isOpen(): boolean {
    return this._state === ConnectionState.Open;
  }

  /** The message id to resume after. */
  get lastId(): string | null {
    return this._position.lastId;
  }

  /** Send a message over the connection, see `PendingReplies.send`. False if the transport cannot. */
  send(message: OutgoingMessage): Promise<void> | false {
    const send = this.isOpen && this._transportConnection?.send;
    return !!send && this._pendingReplies.send(send, message);
  }

  /** End the connection. `onClose` is called a moment later. A second call does nothing. */
  close(): void {
    if (this._state === ConnectionState.Closed) return;
    this._shutDown();
    void Promise.resolve().then(() => this._listener.onClose(codes.NORMAL, "normal"));
  }

  private _setState(state: ConnectionState): void {
    assertTransition(this._state, state);
    this._state = state;
  }

  private _setTimer(delayMs: number, callback: () => void): void {
    this._platform.clearTimeout(this._timer);
    this._timer = this._platform.setTimeout(callback, delayMs);
  }

  private get _connectOptions() {
    const { lastId, since } = this._position;
    return { url: this._options.url, token: this._token, lastId, since };
  }

  /** Get a token, then connect. */
  private _startAttempt(): void {
    this._disconnect(); // stops the reachability monitor
    this._setState(ConnectionState.Authorizing);
    this._token = "";
    const generation = this._generation;
    this._setTimer(limits.TOKEN_TIMEOUT_MS, () => {
      this._credentials.abandonFetch();
      this._handleClose(abnormalClose("token() took over 30 s", true));
    });
    this._credentials.get().then(
      (token) => generation === this._generation && this._connect(token),
      (error) =>
        generation === this._generation && this._handleClose(abnormalClose(`token() failed: ${error}`, true)),
    );
  }

  private _connect(token: string): void {
    this._setState(ConnectionState.Connecting);
    this._token = token;
    if (!isToken(token)) {
      this._handleClose({ code: codes.INVALID_TOKEN, reason: "not a JWT", reached: true });
      return;
    }
    this._setTimer(limits.CONNECT_TIMEOUT_MS, () =>
      this._handleClose(abnormalClose("no answer within 10 s")),
    );
    this._connectStartedAt = this._platform.now();
    const transport = this._fallback.current;
    try {
      this._transportConnection = transport.connect(this._connectOptions, this._transportListener(transport));
    } catch (error) {
      this._handleClose(abnormalClose(error));
    }
  }

  private _transportListener(transport: Transport): TransportListener {
    const generation = this._generation;
    return {
      onFrame: (frame) => {
        if (generation !== this._generation) return;
        this._lastFrameAt = this._platform.now();
        this._handleFrame(frame, transport);
      },
      onClose: (info) => {
        if (generation !== this._generation) return;
        this._transportConnection = null;
        this._handleClose(info);
      },
    };
  }

  private _handleFrame(frame: Frame, transport: Transport): void {
    switch (frame.kind) {
      case "message":
        if (this._position.accept(frame.message.id)) this._listener.onMessage(frame.message);
        break;
      case "open":
        this._handleOpen(frame.session, transport);
        break;
      case "ping":
        this._position.lastId = frame.id ?? this._position.lastId;
        break;
      case "gap":
        this._listener.onGap(frame.after, frame.before);
        break;
      case "reconnect":
        this._reconnectDelayMs = frame.delayMs;
        break;
      case "reply":
        this._pendingReplies.settle(frame.ref, frame.error, frame.answer);
        break;
      case "malformed":
        this._reportError({ code: codes.PROTOCOL_ERROR, reason: `malformed frame: ${frame.reason}` });
        break;
      // "close" is handled by the transport. "unknown" is a type of a later server version.
    }
  }

  private _handleOpen(session: SessionInfo, transport: Transport): void {
    this._silenceMaxMs = session.pingIntervalMs * limits.SILENCE_MAX_PING_INTERVALS;
    this._checkSilence();
    this._renewal.schedule(session.expiresAt);
    const { lastId } = this._position;
    this._position.startFrom(session);
    // On an open connection, the frame answers a renewal or reports a loss.
    if (!this.isOpen) {
      this._setState(ConnectionState.Open);
      this._openedAt = this._platform.now();
      this._reconnectDelayMs = null;
      this._restartEndsAt = 0;
      this._mayBeRefused = false;
      this._fallback.recordSuccess(transport);
      this._listener.onOpen(session, transport.name);
    }
    if (session.recovered === false && this.isOpen) this._listener.onGap(lastId, session.id);
  }

  /**
   * Close a dead connection, which is one without a ping. The timer runs on and checks the time of the
   * last frame, because restarting it at every frame would cost more.
   */
  private _checkSilence(): void {
    const remainingMs = this._lastFrameAt + this._silenceMaxMs - this._platform.now();
    if (remainingMs > 0) this._setTimer(remainingMs, () => this._checkSilence());
    else {
      const silenceMaxS = Math.round(this._silenceMaxMs / 1000);
      this._handleClose(abnormalClose(`nothing received for ${silenceMaxS} s`, true));
    }
  }

  private _handleWake(online: boolean): void {
    if (this._state === ConnectionState.Waiting) this._startAttempt();
    // An attempt or connection that used the old network gets no answer soon.
    else if (online) this._reconnectNow();
    // Timers do not run in a frozen page.
    else if (this.isOpen) this._checkSilence();
  }

  /** Replace the connection at once, and resume. */
  private _reconnectNow(): void {
    this._disconnect(true);
    this._setState(ConnectionState.Waiting);
    this._startAttempt();
  }

  /** The connection ended or could not be opened: end for good, or reconnect later. */
  private _handleClose(info: CloseInfo): void {
    const now = this._platform.now();
    const { isOpen } = this;
    if (isOpen && now - this._openedAt >= limits.STABLE_AFTER_MS) this._backoff.reset();
    const isUnreached = !isOpen && !info.reached;
    const options = this._connectOptions;
    if (isOpen && info.code === codes.RESTART) {
      const delayMs = this._reconnectDelayMs ?? this._platform.random() * 2 * limits.RESTART_DELAY_MIN_MS;
      this._reconnectDelayMs = delayMs;
      this._restartEndsAt = now + delayMs + limits.RESTART_MAX_MS;
    }
    const isRestarting = now < this._restartEndsAt;
    // A server that is restarting refuses every transport.
    if (isUnreached && !isRestarting) {
      this._fallback.recordFailure((signal) => probe(this._platform, options, signal));
    }
    if (isUnreached && this._mayBeRefused) void this._checkOrigin(options);
    this._disconnect(isAbnormal(info.code));
    const canRenew = info.code === codes.EXPIRED_TOKEN && this._credentials.renewable;
    if (codes.FINAL.includes(info.code) && !canRenew) {
      this._shutDown();
      if (info.code !== codes.NORMAL) this._reportError(info, true);
      this._listener.onClose(info.code, info.reason);
      return;
    }
    // To a client that was not connected, a server that shuts down is like a full one.
    const isFull = info.code === codes.TOO_MANY_CONNECTIONS || (info.code === codes.RESTART && !isRestarting);
    if (isFull) this._fallback.reset();
    this._setState(ConnectionState.Waiting);
    if (isUnreached && now - this._connectStartedAt >= limits.UNREACHABLE_AFTER_MS) {
      this._monitor = new ReachabilityMonitor(this._platform, this._options.url, () => {
        this._setTimer(this._platform.random() * limits.REACHABLE_SPREAD_MS, () => this._startAttempt());
      });
    } else {
      this._setTimer(this._nextDelayMs(info, canRenew, isFull, isRestarting), () => this._startAttempt());
    }
    this._reportError(info);
  }

  /** Report it if the server refuses pages of this origin. */
  private async _checkOrigin(options: ConnectOptions): Promise<void> {
    const isRefused = await isOriginRefused(this._platform, options).catch(() => {});
    if (!isRefused || !this._mayBeRefused) return;
    this._mayBeRefused = false;
    const { origin } = this._platform;
    this._reportError(abnormalClose(`the server refuses pages of ${origin}: add it to allowed_origins`));
  }

  /** The delay before the next attempt. */
  private _nextDelayMs(
    { retryAfterMs }: CloseInfo,
    canRenew: boolean,
    isFull: boolean,
    isRestarting: boolean,
  ): number {
    const delayMs = this._reconnectDelayMs;
    this._reconnectDelayMs = null;
    if (canRenew) {
      this._credentials.discard(this._token);
      // Fetch a new token at once, but only once: the application may return expired tokens.
      if (this._backoff.isFirst) {
        this._backoff.nextDelayMs();
        return 0;
      }
    }
    if (delayMs !== null) return delayMs;
    return isRestarting && !isFull
      ? (1 + this._platform.random()) * limits.RESTART_DELAY_MIN_MS
      : this._backoff.nextDelayMs(isFull) + (retryAfterMs ?? 0);
  }

  private _reportError({ code, reason }: Pick<CloseInfo, "code" | "reason">, fatal = false): void {
    this._listener.onError({ code, description: codes.TOKEN_DESCRIPTIONS[code] ?? reason, fatal });
  }

  /** Close for good. */
  private _shutDown(): void {
    this._disconnect();
    this._setState(ConnectionState.Closed);
    this._mayBeRefused = false;
    this._unsubscribe();
    this._fallback.cancelProbe();
  }

  /** Drop the connection and the timers. `isUncertain`: the server may have sent more than arrived. */
  private _disconnect(isUncertain = false): void {
    if (isUncertain) this._position.markUncertain(this._token);
    this._generation += 1;
    this._platform.clearTimeout(this._timer);
    this._renewal.cancel();
    this._transportConnection?.close();
    this._transportConnection = null;
    this._monitor?.close();
    this._monitor = null;
    this._pendingReplies.rejectAll();
  }
}
