/**
 * The state machine that keeps one client connected; the module's `Channel` and the App Engine
 * `Socket` are two faces of it.
 *
 * It tells its listener `open`, `message`, `gap` and `error` as often as they happen, and `close`
 * once, last. Nothing is told from inside the constructor, `start` or `close`.
 */

import { Asks } from "./asks.js";
import { Backoff } from "./backoff.js";
import { originOf } from "./claims.js";
import * as codes from "./codes.js";
import type { Credentials } from "./credentials.js";
import type { Frame, Message, Opened } from "./frames.js";
import { PING_INTERVAL_MS } from "./frames.js";
import { Ladder } from "./ladder.js";
import type { ConnectionOptions, Listener } from "./listener.js";
import type { Item } from "./outbox.js";
import type { Platform } from "./platform.js";
import { comparePositions } from "./position.js";
import { Caller, knock } from "./reach.js";
import { renewalDelay } from "./renewal.js";
import { NEXT, State } from "./state.js";
import { abnormal, type Dial, type Link, type Loss, type Sink, type Transport } from "./transport.js";

/** A connection that held so long counts as a success: the next wait is a first one again. */
const STABLE_MS = 10_000;
/** From dialling to the server's first word. A proxy that buffers shows itself here. */
const CONNECT_TIMEOUT_MS = 10_000;
/** An attempt that failed after so long was answered by nobody: a refusal comes sooner. */
const UNANSWERED_MS = 2_500;
/** For the application's own token function. */
const TOKEN_TIMEOUT_MS = 30_000;
/** Silence of so many ping intervals is a dead line. */
const SILENT_INTERVALS = 2;
/** A compact JWT (RFC 7515 section 7.1). Anything else could not even be put in a header. */
const TOKEN_FORM = /^[\w-]+(\.[\w-]*)*$/;

export class Connection {
  private _state: State = State.Waiting;
  /** Counts connections; what an earlier one still says is ignored. */
  private _generation = 0;
  private _link: Link | null = null;
  /** The token that the server was dialled with, or a newer one that it was given since; or none. */
  private _token = "";
  private _timer: unknown = null;
  private _renewTimer: unknown = null;
  private _dialledAt = 0;
  private _openedAt = 0;
  private _heardAt = 0;
  private _silenceMs = PING_INTERVAL_MS * SILENT_INTERVALS;
  /** The server's wish for the next wait. */
  private _wish: number | null = null;
  /** The last message; one that is not after it is a duplicate. */
  private _seen: string | null = null;
  private _position: string | null;
  /** Where the first of the connections began of which it is not clear what came of them. */
  private _since: string | null = null;
  private readonly _credentials: Credentials;
  private readonly _asks: Asks;
  private readonly _backoff: Backoff;
  private readonly _ladder: Ladder;
  private readonly _unsubscribe: () => void;

  constructor(
    private readonly _options: ConnectionOptions,
    private readonly _platform: Platform,
    private readonly _listener: Listener,
  ) {
    this._position = this._seen = _options.lastId;
    this._credentials = _options.credentials;
    this._asks = new Asks(_platform);
    this._backoff = new Backoff(_platform.random);
    this._ladder = new Ladder(_options.transports, _platform.storage, _options.url);
    this._unsubscribe = _platform.onWake((online) => this._wake(online));
    this._attempt();
  }

  get isOpen(): boolean {
    return this._state === State.Open;
  }

  /** Resume after this id. */
  get lastId(): string | null {
    return this._position;
  }

  /** Send a message over the connection itself, as `Asks` does; false where its transport cannot. */
  ask(item: Item): Promise<void> | false {
    const send = this.isOpen && this._link?.send;
    return !!send && this._asks.ask(send, item);
  }

  /** End it; the listener hears of it a moment later. A second call does nothing. */
  close(): void {
    if (this._state === State.Closed) return;
    this._end();
    void Promise.resolve().then(() => this._listener.close(codes.NORMAL, "normal"));
  }

  private _go(state: State): void {
    if (!NEXT[this._state].includes(state))
      throw new Error(`impossible transition: ${this._state} to ${state}`);
    this._state = state;
  }

  private _arm(delayMs: number, callback: () => void): void {
    this._platform.clearTimeout(this._timer);
    this._timer = this._platform.setTimeout(callback, delayMs);
  }

  /** What to connect to, and from where on. */
  private get _destination(): Dial {
    return { url: this._options.url, token: this._token, lastId: this._position, since: this._since };
  }

  private _attempt(): void {
    this._go(State.Authorizing);
    this._token = "";
    this._link?.close(); // it may have called
    this._link = null;
    const mine = ++this._generation;
    this._arm(TOKEN_TIMEOUT_MS, () => {
      this._credentials.abandon();
      this._lost(abnormal("token() took over 30 s", true));
    });
    this._credentials.get().then(
      (token) => mine === this._generation && this._dial(token),
      (error) => mine === this._generation && this._lost(abnormal(`token() failed: ${error}`, true)),
    );
  }

  private _dial(token: string): void {
    this._go(State.Connecting);
    this._token = token;
    if (!TOKEN_FORM.test(token)) {
      this._lost({ code: codes.INVALID_TOKEN, reason: "not a JWT", reached: true });
      return;
    }
    this._arm(CONNECT_TIMEOUT_MS, () => this._lost(abnormal("no answer within 10 s")));
    this._dialledAt = this._platform.now();
    const transport = this._ladder.current;
    try {
      this._link = transport.connect(this._destination, this._sink(transport));
    } catch (error) {
      this._lost(abnormal(error));
    }
  }

  private _sink(transport: Transport): Sink {
    const mine = this._generation;
    const current = () => mine === this._generation;
    return {
      frame: (frame) => {
        if (!current()) return;
        this._heardAt = this._platform.now();
        this._receive(frame, transport);
      },
      lost: (loss) => {
        if (!current()) return;
        this._link = null;
        this._lost(loss);
      },
    };
  }

  private _receive(frame: Frame, transport: Transport): void {
    switch (frame.kind) {
      case "message":
        this._deliver(frame.message);
        break;
      case "open":
        this._opened(frame.opened, transport);
        break;
      case "ping":
        this._position = frame.id ?? this._position;
        break;
      case "gap":
        this._listener.gap(frame.after, frame.before);
        break;
      case "reconnect":
        this._wish = frame.delayMs;
        break;
      case "reply":
        this._asks.settle(frame.ref, frame.error, frame.answer);
        break;
      case "malformed":
        this._report({ code: codes.PROTOCOL_ERROR, reason: `a frame ${frame.why}` });
        break;
      // After "close" the transport ends in its own way; "unknown" is what later servers may say.
    }
  }

  private _deliver(message: Message): void {
    if (this._seen !== null && comparePositions(message.id, this._seen) <= 0) return;
    this._position = this._seen = message.id;
    this._listener.message(message);
  }

  private _opened(opened: Opened, transport: Transport): void {
    this._silenceMs = opened.pingIntervalMs * SILENT_INTERVALS;
    this._watch();
    this._scheduleRenewal(opened.expiresAt);
    const fresh = this._state !== State.Open; // if not, it answers a renewal or tells of a loss
    const before = this._position;
    this._adopt(opened);
    if (fresh) {
      this._go(State.Open);
      this._openedAt = this._platform.now();
      this._wish = null;
      this._ladder.worked(transport);
      this._listener.open(opened, transport.name);
    }
    if (opened.recovered === false && this.isOpen) this._listener.gap(before, opened.id);
  }

  /** Where the next connection resumes if no message comes on this one. */
  private _adopt({ id, recovered }: Opened): void {
    if (id === null) return;
    if (this._position === null || comparePositions(id, this._position) > 0) {
      this._position = id;
    } else if (recovered === false && id !== this._position) {
      // The server's order began anew, so nothing that comes now is a duplicate.
      this._position = id;
      this._seen = null;
    }
  }

  /** Notice a dead line by the missing ping. Re-arming at each frame would cost more than this. */
  private _watch(): void {
    const left = this._heardAt + this._silenceMs - this._platform.now();
    if (left > 0) this._arm(left, () => this._watch());
    else {
      const reason = `nothing heard for ${Math.round(this._silenceMs / 1000)} s`;
      this._lost(abnormal(reason, true));
    }
  }

  private _scheduleRenewal(expiresAt: number | null): void {
    this._platform.clearTimeout(this._renewTimer);
    if (expiresAt === null || !this._credentials.renewable) return;
    const delayMs = renewalDelay(expiresAt, this._platform.now(), this._platform.random());
    if (delayMs === null) return;
    this._renewTimer = this._platform.setTimeout(() => this._renew(expiresAt), delayMs);
  }

  private _renew(expiresAt: number): void {
    const mine = this._generation;
    this._credentials.fresh().then(
      (token) => {
        if (mine !== this._generation) return;
        if (this._link?.renew?.(token)) this._token = token;
        else this._redial();
      },
      (error) => {
        if (mine !== this._generation) return;
        this._report(abnormal(`token() failed: ${error}`));
        this._scheduleRenewal(expiresAt);
      },
    );
  }

  private _wake(online: boolean): void {
    if (this._state === State.Waiting) this._attempt();
    // What was sent into a dead network is not answered soon.
    else if (online) this._redial();
    // Timers do not run in a frozen page.
    else if (this.isOpen) this._watch();
  }

  /** Connect anew at once, and resume. */
  private _redial(): void {
    this._drop(true);
    this._go(State.Waiting);
    this._attempt();
  }

  private _lost(loss: Loss): void {
    const wasOpen = this._state === State.Open;
    if (wasOpen && this._platform.now() - this._openedAt >= STABLE_MS) this._backoff.reset();
    const failed = !wasOpen && !loss.reached;
    const dial = this._destination;
    if (failed) this._ladder.failed((signal) => knock(this._platform, dial, signal));
    this._drop(loss.code === codes.ABNORMAL || loss.code === codes.NO_STATUS);
    const expired = loss.code === codes.EXPIRED_TOKEN && this._credentials.renewable;
    if (codes.FINAL.includes(loss.code) && !expired) {
      this._finish(loss);
      return;
    }
    const full = loss.code === codes.TOO_MANY_CONNECTIONS;
    if (full) this._ladder.restart();
    const first = this._backoff.fresh;
    if (failed && this._platform.now() - this._dialledAt >= UNANSWERED_MS) {
      this._go(State.Waiting);
      this._link = new Caller(this._platform, this._options.url, () => {
        this._arm(this._backoff.soon(), () => this._attempt());
      });
      this._report(loss);
      return;
    }
    let delayMs = this._wish ?? this._backoff.next(full) + (loss.retryAfterMs ?? 0);
    this._wish = null;
    if (expired) {
      this._credentials.discard(this._token);
      if (first) {
        this._backoff.next();
        delayMs = 0;
      }
    }
    this._go(State.Waiting);
    this._arm(delayMs, () => this._attempt());
    this._report(loss);
  }

  private _finish(loss: Loss): void {
    this._end();
    if (loss.code !== codes.NORMAL) this._report(loss, true);
    this._listener.close(loss.code, loss.reason);
  }

  private _report({ code, reason }: Pick<Loss, "code" | "reason">, fatal = false): void {
    this._listener.error({ code, description: codes.TOKEN_DESCRIPTIONS[code] ?? reason, fatal });
  }

  private _end(): void {
    this._drop();
    this._go(State.Closed);
    this._unsubscribe();
    this._ladder.end();
  }

  /** Let go of the connection and the timers; `unclear`: the server may have served more than came. */
  private _drop(unclear = false): void {
    // The first `open`, or a first poll's answer, may have been lost on its way, and messages with it.
    if (unclear) this._since ??= originOf(this._token);
    this._generation += 1;
    this._platform.clearTimeout(this._timer);
    this._platform.clearTimeout(this._renewTimer);
    this._link?.close();
    this._link = null;
    this._asks.lost();
  }
}
