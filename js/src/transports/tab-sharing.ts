/**
 * One event stream for all tabs that listen to the same channel. Over HTTP/1.1 a browser opens at
 * most six connections to an origin, so a seventh tab could not connect.
 *
 * The tabs queue for a Web Lock. The tab that holds it is the leader: it has the stream and broadcasts
 * its frames. The others follow. When the leader closes, the next tab in the queue resumes the stream
 * from its own last id, and the pages notice nothing. A tab that the leader cannot serve opens a
 * stream of its own.
 *
 * Tabs share a stream only if their tokens name the same client and groups. The server sees only the
 * leader's token; it checks a follower's token when that tab becomes the leader.
 */

import type { Platform } from "../platform.js";
import type { CloseInfo } from "../protocol/close-info.js";
import type { Frame, SessionInfo } from "../protocol/frames.js";
import { comparePositions } from "../protocol/position.js";
import { type Claims, readClaims, tokenStart } from "../protocol/token.js";
import { JOIN_TIMEOUT_MS } from "./limits.js";
import { RecentMessages } from "./recent-messages.js";
import type { JoinRequest, TabMessage } from "./tab-messages.js";
import type { ConnectOptions, Transport, TransportConnection, TransportListener } from "./transport.js";

enum Role {
  Joining,
  Leader,
  Follower,
  /** The tab has a stream of its own. */
  Unshared,
  Closed,
}

/** A browser that has what sharing needs. */
type SharingPlatform = Platform & { [API in "locks" | "BroadcastChannel"]: NonNullable<Platform[API]> };

function supportsSharing(platform: Platform): platform is SharingPlatform {
  return !!platform.locks && !!platform.BroadcastChannel;
}

/** `transport`, with its connections shared between tabs if the browser supports it. */
export function shareBetweenTabs(transport: Transport, platform: Platform): Transport {
  if (!supportsSharing(platform)) return transport;
  return {
    name: transport.name,
    connect(options, listener) {
      const claims = readClaims(options.token);
      if (!claims.sub) return transport.connect(options, listener);
      try {
        return new TabSharing(transport, platform, options, listener, claims);
      } catch {
        return transport.connect(options, listener); // a page with an opaque origin
      }
    },
  };
}

class TabSharing implements TransportConnection {
  private _role: Role = Role.Joining;
  /** The connection to the server, of a leader or an unshared tab. */
  private _connection: TransportConnection | null = null;
  /** A copy: `lastId`, `since` and `token` change. */
  private readonly _options: ConnectOptions;
  private readonly _tabId: string;
  private readonly _tabs: BroadcastChannel;
  private readonly _lockRequest = new AbortController();
  private _releaseLock: (() => void) | null = null;
  private _timer: unknown;
  private _session: SessionInfo | null = null;
  /** Whether a leader may have opened a session, before this tab heard of it, that used up our `pos`. */
  private _mayBeServed = false;
  private readonly _recent = new RecentMessages();
  /** The newest `pos` of the tokens that joined. A `pos` that is not newer is ignored, as by the server. */
  private _newestPos: string | null;

  constructor(
    private readonly _transport: Transport,
    private readonly _platform: SharingPlatform,
    options: ConnectOptions,
    private readonly _listener: TransportListener,
    { sub, groups }: Claims,
  ) {
    const { locks, BroadcastChannel } = _platform;
    this._options = { ...options };
    this._tabId = `${_platform.now()} ${_platform.random()}`;
    this._newestPos = tokenStart(options.token);
    const name = `headrace tabs ${options.url} ${JSON.stringify([sub, [...(groups ?? [])].sort()])}`;
    this._tabs = new BroadcastChannel(name);
    this._tabs.onmessage = ({ data }: MessageEvent<TabMessage>) => this._handleTabMessage(data);
    this._timer = _platform.setTimeout(() => this._connectUnshared(), JOIN_TIMEOUT_MS);
    const holdLock = () =>
      new Promise<void>((resolve) => {
        this._releaseLock = resolve;
        this._becomeLeader();
      });
    // Rejects when aborted. If locks are forbidden, the join timeout connects this tab.
    locks.request(name, { signal: this._lockRequest.signal }, holdLock).catch(() => {});
    this._join();
  }

  close(): void {
    this._leave(Role.Closed);
    this._connection?.close();
  }

  renew(token: string): boolean {
    this._options.token = token;
    switch (this._role) {
      case Role.Leader: // the followers stay
        this._connection?.close();
        this._connectAsLeader();
        return true;
      case Role.Follower:
        if (this._session)
          this._deliver({ kind: "open", session: { ...this._session, id: null, recovered: null } });
        return true;
      default:
        return false;
    }
  }

  /** Stop sharing, and take the role `role`. */
  private _leave(role: Role): void {
    this._role = role;
    this._platform.clearTimeout(this._timer);
    this._lockRequest.abort();
    this._releaseLock?.();
    this._tabs.close();
  }

  private _broadcast(message: TabMessage): void {
    this._tabs.postMessage(message);
  }

  private _join(): void {
    this._broadcast({
      kind: "join",
      from: this._tabId,
      after: this._options.lastId ?? this._options.since,
      pos: this._newestPos,
    });
  }

  private _connectUnshared(): void {
    this._leave(Role.Unshared);
    this._updateSince();
    this._connection = this._transport.connect(this._options, this._listener);
  }

  private _becomeLeader(): void {
    if (this._role !== Role.Joining && this._role !== Role.Follower) {
      this._releaseLock?.(); // granted after this tab stopped sharing
      return;
    }
    this._role = Role.Leader;
    this._platform.clearTimeout(this._timer);
    this._updateSince();
    // To all tabs: if the connection is lost before it is open, they must know that it existed.
    this._broadcast({ kind: "wait", to: "" });
    this._connectAsLeader();
  }

  /** Before connecting to the server: if an earlier leader may have been served, start where it did. */
  private _updateSince(): void {
    if (this._mayBeServed) this._options.since ??= this._newestPos;
  }

  private _connectAsLeader(): void {
    this._connection = this._transport.connect(this._options, {
      onFrame: (frame) => {
        this._record(frame);
        this._broadcast({ kind: "frame", frame });
        this._listener.onFrame(frame);
      },
      onClose: (info) => {
        this._broadcast({ kind: "close", info });
        this._handleClose(info);
      },
    });
  }

  private _handleClose(info: CloseInfo): void {
    this._leave(Role.Closed);
    this._listener.onClose(info);
  }

  /** Record a frame from the server, for tabs that join later. */
  private _record(frame: Frame): void {
    if (frame.kind === "open") {
      this._session = frame.session;
      this._recent.clear(this._completeAfter(frame.session));
      this._options.lastId = frame.session.id ?? this._options.lastId;
    } else if (frame.kind === "gap") {
      this._recent.clear(frame.before);
    } else if (frame.kind === "message") {
      this._options.lastId = frame.message.id;
      this._recent.push(frame.message);
    }
  }

  /** The id after which a new connection delivers every message; null if other tabs cannot use it. */
  private _completeAfter({ id, recovered }: SessionInfo): string | null {
    const { lastId } = this._options;
    if (recovered === true) return lastId;
    // The server's ids started again, so other tabs' ids cannot be compared with the new ones.
    const idsRestarted =
      recovered === false && lastId !== null && id !== null && comparePositions(id, lastId) < 0;
    return idsRestarted ? null : id;
  }

  private _handleTabMessage(message: TabMessage): void {
    const isJoining = this._role === Role.Joining;
    switch (message.kind) {
      case "join":
        if (this._role !== Role.Leader) break;
        if (this._session) this._answerJoin(message, this._session);
        else this._broadcast({ kind: "wait", to: message.from });
        break;
      case "wait": // for the leader's "open" frame; if the leader fails, this tab gets the lock
        this._mayBeServed = true;
        if (isJoining && message.to === this._tabId) this._platform.clearTimeout(this._timer);
        break;
      case "accept":
        if (!isJoining || message.to !== this._tabId) break;
        this._role = Role.Follower;
        this._platform.clearTimeout(this._timer);
        this._deliver({ kind: "open", session: message.session });
        for (const missed of message.missed) this._deliver({ kind: "message", message: missed });
        break;
      case "reject":
        if (isJoining && message.to === this._tabId) this._connectUnshared();
        break;
      case "frame":
        if (this._role === Role.Follower) this._deliver(message.frame);
        else if (isJoining && message.frame.kind === "open") this._join();
        break;
      case "close":
        if (this._role === Role.Follower) this._handleClose(message.info);
        break;
    }
  }

  /** Accept a tab that can follow from its own last id, or else from its token's `pos` or from now. */
  private _answerJoin({ from, after, pos }: JoinRequest, session: SessionInfo): void {
    const isNewer = pos !== null && (this._newestPos === null || comparePositions(pos, this._newestPos) > 0);
    if (isNewer) this._newestPos = pos;
    const { floor } = this._recent;
    let start = after ?? (isNewer ? pos : null);
    let recovered = after === null ? null : true;
    if (start !== null && !this._recent.covers(start)) {
      // The server could not give the tab more either, if it told us that messages before `floor` are lost.
      if (session.recovered !== false || session.id !== floor) {
        this._broadcast({ kind: "reject", to: from });
        return;
      }
      start = floor;
      recovered = false;
    }
    const missed = start === null ? [] : this._recent.after(start);
    const id = start ?? this._options.lastId ?? floor;
    this._broadcast({ kind: "accept", to: from, session: { ...session, id, recovered }, missed });
  }

  /** Deliver a frame that came from the leader. */
  private _deliver(frame: Frame): void {
    if (frame.kind === "message") this._options.lastId = frame.message.id;
    if (frame.kind !== "open") {
      this._listener.onFrame(frame);
      return;
    }
    this._session = frame.session;
    this._options.lastId = frame.session.id ?? this._options.lastId;
    const { exp = null } = readClaims(this._options.token); // each tab renews its own token
    this._listener.onFrame({ kind: "open", session: { ...frame.session, expiresAt: exp } });
  }
}
