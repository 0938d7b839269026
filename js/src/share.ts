/**
 * One event stream for all tabs that listen to the same channel: over HTTP/1.1 a browser opens at
 * most six connections to an origin, and the seventh tab would wait for ever.
 *
 * The tabs queue for a Web Lock. Who holds it leads: it has the stream, and broadcasts what comes.
 * The others follow. When the leader goes, the next in the queue resumes the stream from its own
 * last id, so that no page notices. Whoever cannot be served so has a stream of its own.
 *
 * Tabs share only if their tokens name the same client and groups. The server sees the leader's
 * token alone; a follower's own is looked at when it comes to lead.
 */

import { type Claims, originOf, readClaims } from "./claims.js";
import type { Frame, Message, Opened } from "./frames.js";
import type { Platform } from "./platform.js";
import { comparePositions } from "./position.js";
import type { Dial, Link, Loss, Sink, Transport } from "./transport.js";

/** A leader that is frozen does not answer in time. */
const JOIN_TIMEOUT_MS = 2_000;
/** What a leader keeps for those who join or come back. */
const RECENT_MAX_MESSAGES = 500;
const RECENT_MAX_CHARACTERS = 262_144;

enum Role {
  Joining,
  Leading,
  Following,
  /** Has a stream of its own. */
  Alone,
  Closed,
}

/** What tabs say to each other. */
type Note =
  /** May I follow from here? `pos` is where a first connection starts, from the token. */
  | { kind: "join"; from: string; after: string | null; pos: string | null }
  /** Wait until I am connected, whoever `to` is. */
  | { kind: "patience"; to: string }
  /** You may: this came since. */
  | { kind: "welcome"; to: string; opened: Opened; missed: Message[] }
  /** You cannot: what came since is not here any more. */
  | { kind: "refusal"; to: string }
  | { kind: "frame"; frame: Frame }
  | { kind: "lost"; loss: Loss };

/** `inner` shared among tabs, where the browser can. */
export function sharedTransport(inner: Transport, platform: Platform): Transport {
  return {
    name: inner.name,
    connect(dial, sink) {
      const claims = readClaims(dial.token);
      if (!claims.sub) return inner.connect(dial, sink);
      try {
        return new Share(inner, platform, dial, sink, claims);
      } catch {
        return inner.connect(dial, sink); // an old browser, or a page without an origin
      }
    },
  };
}

class Share implements Link {
  private _role: Role = Role.Joining;
  private _inner: Link | null = null;
  private readonly _dial: Dial;
  private readonly _me: string;
  private readonly _channel: BroadcastChannel;
  private readonly _queueing = new AbortController();
  private _release: (() => void) | null = null;
  private _timer: unknown;
  private _opened: Opened | null = null;
  /** Whether a leader may have been served, unseen, what was meant for this tab too. */
  private _mayBeServed = false;
  /** All messages after the id `_floor`; a leader's. With no floor they say nothing to others. */
  private _recent: Message[] = [];
  private _recentCharacters = 0;
  private _floor: string | null = null;
  /** Of the tokens that have joined so far; the server keeps the same. */
  private _newestPos: string | null;

  constructor(
    private readonly _transport: Transport,
    private readonly _platform: Platform,
    dial: Dial,
    private readonly _sink: Sink,
    { sub, groups }: Claims,
  ) {
    const { locks, BroadcastChannel } = _platform;
    if (!locks || !BroadcastChannel) throw new Error("this browser cannot share");
    this._dial = { ...dial };
    this._me = `${_platform.now()} ${_platform.random()}`;
    this._newestPos = originOf(dial.token);
    const name = `headrace ${dial.url} ${JSON.stringify([sub, [...(groups ?? [])].sort()])}`;
    this._channel = new BroadcastChannel(name);
    this._channel.onmessage = ({ data }: MessageEvent<Note>) => this._hear(data);
    this._timer = _platform.setTimeout(() => this._goAlone(), JOIN_TIMEOUT_MS);
    const hold = () =>
      new Promise<void>((resolve) => {
        this._release = resolve;
        this._lead();
      });
    // Rejects when it is aborted; where locks are forbidden, the time limit for joining does the rest.
    locks.request(name, { signal: this._queueing.signal }, hold).catch(() => {});
    this._join();
  }

  close(): void {
    this._leave(Role.Closed);
    this._inner?.close();
  }

  renew(token: string): boolean {
    this._dial.token = token;
    switch (this._role) {
      case Role.Leading: // the followers stay
        this._inner?.close();
        this._connect();
        return true;
      case Role.Following:
        if (this._opened)
          this._tell({ kind: "open", opened: { ...this._opened, id: null, recovered: null } });
        return true;
      default:
        return false;
    }
  }

  /** Become `role`, which needs neither the lock nor the other tabs. */
  private _leave(role: Role): void {
    this._role = role;
    this._platform.clearTimeout(this._timer);
    this._queueing.abort();
    this._release?.();
    this._channel.close();
  }

  private _say(note: Note): void {
    this._channel.postMessage(note);
  }

  private _join(): void {
    this._say({
      kind: "join",
      from: this._me,
      after: this._dial.lastId ?? this._dial.since,
      pos: this._newestPos,
    });
  }

  private _goAlone(): void {
    this._leave(Role.Alone);
    this._begin();
    this._inner = this._transport.connect(this._dial, this._sink);
  }

  private _lead(): void {
    if (this._role !== Role.Joining && this._role !== Role.Following) {
      this._release?.(); // granted while it was being given up
      return;
    }
    this._role = Role.Leading;
    this._platform.clearTimeout(this._timer);
    this._begin();
    this._say({ kind: "patience", to: "" }); // to all: it may be lost before it is open
    this._connect();
  }

  /** Be connected to the server itself from now on. */
  private _begin(): void {
    if (this._mayBeServed) this._dial.since ??= this._newestPos;
  }

  private _connect(): void {
    this._inner = this._transport.connect(this._dial, {
      frame: (frame) => {
        this._remember(frame);
        this._say({ kind: "frame", frame });
        this._sink.frame(frame);
      },
      lost: (loss) => this._lose(loss, true),
    });
  }

  private _lose(loss: Loss, tell: boolean): void {
    if (tell) this._say({ kind: "lost", loss });
    this._leave(Role.Closed);
    this._sink.lost(loss);
  }

  private _remember(frame: Frame): void {
    if (frame.kind === "open") {
      this._opened = frame.opened;
      this._forget(this._completeFrom(frame.opened));
      this._dial.lastId = frame.opened.id ?? this._dial.lastId;
    } else if (frame.kind === "gap") {
      this._forget(frame.before);
    } else if (frame.kind === "message") {
      this._dial.lastId = frame.message.id;
      this._recent.push(frame.message);
      this._recentCharacters += frame.message.data.length;
      while (this._recent.length > RECENT_MAX_MESSAGES || this._recentCharacters > RECENT_MAX_CHARACTERS) {
        const oldest = this._recent.shift() as Message;
        this._recentCharacters -= oldest.data.length;
        this._floor = oldest.id;
      }
    }
  }

  /** Begin anew with what others can be given. */
  private _forget(floor: string | null): void {
    this._floor = floor;
    this._recent = [];
    this._recentCharacters = 0;
  }

  /** The id after which nothing is missing, as far as another tab can be told. */
  private _completeFrom({ id, recovered }: Opened): string | null {
    const { lastId } = this._dial;
    if (recovered === true) return lastId;
    // In an order that began anew, what another tab has seen cannot be compared with.
    const isAnew = recovered === false && lastId !== null && id !== null && comparePositions(id, lastId) < 0;
    return isAnew ? null : id;
  }

  private _hear(note: Note): void {
    switch (note.kind) {
      case "join":
        if (this._role !== Role.Leading) break;
        if (this._opened) this._answer(note, this._opened);
        else this._say({ kind: "patience", to: note.from });
        break;
      case "patience": // its `open` will be heard; and if it fails, the lock is free
        this._mayBeServed = true;
        if (this._role === Role.Joining && note.to === this._me) this._platform.clearTimeout(this._timer);
        break;
      case "welcome":
        if (this._role !== Role.Joining || note.to !== this._me) break;
        this._role = Role.Following;
        this._platform.clearTimeout(this._timer);
        this._tell({ kind: "open", opened: note.opened });
        for (const message of note.missed) this._tell({ kind: "message", message });
        break;
      case "refusal":
        if (this._role === Role.Joining && note.to === this._me) this._goAlone();
        break;
      case "frame":
        if (this._role === Role.Following) this._tell(note.frame);
        else if (this._role === Role.Joining && note.frame.kind === "open") this._join();
        break;
      case "lost":
        if (this._role === Role.Following) this._lose(note.loss, false);
        break;
    }
  }

  /** Let a tab follow from its own last id; else as the server does: from its token's `pos`, or from now. */
  private _answer({ from, after, pos }: Note & { kind: "join" }, opened: Opened): void {
    const isNewer = pos !== null && (this._newestPos === null || comparePositions(pos, this._newestPos) > 0);
    if (isNewer) this._newestPos = pos;
    let start = after ?? (isNewer ? pos : null);
    let recovered = after === null ? null : true;
    if (start !== null && (this._floor === null || comparePositions(start, this._floor) < 0)) {
      // What is before a loss of ours the server would not give the other tab either.
      if (opened.recovered !== false || opened.id !== this._floor) {
        this._say({ kind: "refusal", to: from });
        return;
      }
      start = this._floor;
      recovered = false;
    }
    const missed = start === null ? [] : this._recent.filter(({ id }) => comparePositions(id, start) > 0);
    const id = start ?? this._dial.lastId ?? this._floor;
    this._say({ kind: "welcome", to: from, opened: { ...opened, id, recovered }, missed });
  }

  /** Hand on what the leader got, or gave. */
  private _tell(frame: Frame): void {
    if (frame.kind === "message") this._dial.lastId = frame.message.id;
    if (frame.kind !== "open") {
      this._sink.frame(frame);
      return;
    }
    this._opened = frame.opened;
    this._dial.lastId = frame.opened.id ?? this._dial.lastId;
    const { exp = null } = readClaims(this._dial.token); // each tab renews its own token
    this._sink.frame({ kind: "open", opened: { ...frame.opened, expiresAt: exp } });
  }
}
