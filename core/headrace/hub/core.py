"""The hub's core: connected sessions, message fan-out, and what reconnecting clients may resume.

    backplane ──▶ apply(entry, position) ──▶ history, rings of the recipients ──▶ flush ──▶ sinks

The backplane gives each entry its position in the total order and applies it here, once and in
order. `apply` makes one Message, appends it to the history and pushes a reference into the ring of
every recipient: no awaiting, no copying, no encoding per client. The first push of an event loop
tick schedules one `flush` at the end of the tick.

The core belongs to one thread and does no I/O. Time comes from the clocks that it is given, and its
owner decides how a flush is scheduled. Entries have been validated before they get here.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from headrace import codes, limits
from headrace.auth.revocation import Revocations
from headrace.auth.tokens import Claims
from headrace.errors import ForbiddenError, StateError
from headrace.hub.counters import Counters
from headrace.hub.history import History
from headrace.hub.presence import Presence, PresenceChange
from headrace.hub.ring import RingBounds
from headrace.hub.session import PushResult, Session, SessionState, Sink
from headrace.hub.slow_consumers import SlowConsumers
from headrace.hub.subscriptions import Subscriptions, history_keys
from headrace.messages.entries import AnyEntry, Change, Entry, Join, Leave, Revoke
from headrace.messages.message import ControlMessage, Message, MessageBatch
from headrace.messages.position import START, Position
from headrace.settings import Settings

_FLUSH, _FULL = PushResult.FLUSH, PushResult.FULL


class Clocks(NamedTuple):
    """The clocks of one hub; both return seconds."""

    monotonic: Callable[[], float]
    unix: Callable[[], float]


class HubCore:
    """Applies entries, attaches sessions, and flushes them.

    `schedule(callback)` must call `callback` once, at the end of the current event loop tick.
    `on_presence` is called with every client's connect and disconnect; it must not raise.
    """

    def __init__(
        self,
        settings: Settings,
        clocks: Clocks,
        schedule: Callable[[Callable[[], None]], object],
        on_presence: Callable[[PresenceChange], None],
    ) -> None:
        self.settings = settings
        self.clocks = clocks
        self.counters = Counters()
        self.subscriptions = Subscriptions()
        self.revocations = Revocations()
        self.presence = Presence(settings.presence_grace_s, on_presence)
        self.history = History(
            Position(int(clocks.unix() * 1000), 0),
            max_bytes=settings.history_max_bytes,
            max_age_s=settings.history_max_age_s,
        )
        self._schedule = schedule
        self._bounds = RingBounds(settings.ring_max_messages, settings.ring_max_bytes)
        self._slow_consumers = SlowConsumers(settings.slow_consumer, self.counters, self.detach)
        self._pending: list[Session] = []  # to be flushed; a session may be in it twice

    # --- entries -------------------------------------------------------------------------------

    def apply(self, entry: AnyEntry, position: Position) -> int:
        """Apply an ordered entry; return the number of sessions that a send was queued for.

        Called by the backplane, once per entry, in the order of positions.
        """
        if not isinstance(entry, Entry):
            self._apply_change(entry, position)
            return 0
        message = Message(position, entry.data, entry.group)
        sessions, keys = self.subscriptions.recipients(entry)
        self.history.append(message, keys)
        self.counters.messages += 1
        pending = self._pending
        was_empty = not pending
        full = []
        for session in sessions:
            result = session.push(message)
            if result is _FLUSH:
                pending.append(session)
            elif result is _FULL:
                full.append(session)
        if was_empty and pending:
            self._schedule(self.flush)
        return len(sessions) - self._slow_consumers.handle(full, message) if full else len(sessions)

    def flush(self) -> None:
        """Deliver to each session's sink what was queued since the last flush.

        A session whose sink raises is closed with 1011; the sessions after it stay queued.
        """
        pending = self._pending
        if not pending:
            return
        self._pending = []
        now = self.clocks.monotonic()
        batches: dict[tuple[Message, ...], MessageBatch] = {}
        delivered = 0
        remaining = iter(pending)
        try:
            for session in remaining:
                delivered += session.flush(now, batches)
        except BaseException:  # raised again below, whatever it is
            self.close(session, codes.INTERNAL_ERROR)
            raise
        finally:
            self.counters.deliveries += delivered
            for session in remaining:
                self._queue(session)

    def restore_change(self, entry: Change, position: Position) -> None:
        """Apply a change of an earlier process again, before the first session."""
        if isinstance(entry, Revoke):
            self.revocations.revoke(entry.client_id, entry.at, position, self.clocks.monotonic())
            return
        memberships = self.subscriptions.memberships
        change = memberships.join if isinstance(entry, Join) else memberships.leave
        change(entry.client_id, entry.group, entry.at)

    def changes(self) -> Iterator[tuple[Change, Position]]:
        """Yield the changes that together make up the current memberships and revocations."""
        for client_id, group, joined, at in self.subscriptions.memberships.overrides():
            kind = Join if joined else Leave
            yield kind(client_id, group, at), START
        for client_id, revoked in self.revocations.entries().items():
            yield Revoke(client_id, revoked.at), revoked.position

    def _apply_change(self, entry: Change, position: Position) -> None:
        """Apply an entry that changes what later sends reach."""
        self.history.latest = position
        self.restore_change(entry, position)
        for session in self.sessions_of(entry.client_id):
            if isinstance(entry, Revoke):
                self.close(session, codes.REVOKED_TOKEN)
            else:
                self.subscriptions.update_groups(session)

    # --- sessions ------------------------------------------------------------------------------

    @property
    def sessions(self) -> dict[Session, None]:
        """All sessions, the oldest first."""
        return self.subscriptions.sessions

    def sessions_of(self, client_id: str) -> list[Session]:
        """Return the sessions of one client, the oldest first."""
        channel = self.subscriptions.channels.get(client_id)
        return channel.sessions.copy() if channel is not None else []

    def attach(
        self,
        claims: Claims,
        sink: Sink,
        last_id: Position | None = None,
        since: Position | None = None,
    ) -> Session:
        """Open a session, subscribe it, and queue the messages that it missed.

        The session resumes after `last_id`. Without one it starts where the client's last session
        left off, or at the token's `pos`. `since` is the `pos` of an earlier attempt that may have
        been served without the client's knowledge: the session starts there at the latest.

        Everything happens in one call, so no message is lost between the history and live
        delivery. The sink gets the `open` control message before this returns. Raises InputError
        if the claims' `pos` is not an id.
        """
        self._detach_disconnected(claims.sub)
        session = Session(claims, sink, self._bounds)
        keys = history_keys(claims.sub, self.subscriptions.groups_of(claims))
        asked = last_id
        if asked is None:
            asked = self.subscriptions.start_position(claims, since)
        start, recovered = self._start_of(asked, keys, resumes=last_id is not None)
        session.start(start, self.history.messages_after(keys, start))
        channel = self.subscriptions.add(session, start if asked is None else asked)
        self.presence.session_opened(claims.sub, self.clocks.unix())
        try:
            self._send_open(session, recovered)
        except BaseException:  # the caller has no session that it could detach
            self.detach(session)
            raise
        if session.state is SessionState.QUEUED:
            self._queue(session)
        while len(channel.sessions) > self.settings.sessions_per_client:
            self.close(channel.sessions[0], codes.REPLACED)
        return session

    def renew(self, session: Session, claims: Claims) -> None:
        """Replace the session's token by a newer one of the same client; sends a new `open`.

        The session's groups become those of the new token. Raises ForbiddenError for another
        client's token, StateError if the session is detached.
        """
        if session not in self.sessions or session.state is SessionState.CLOSED:
            raise StateError(f"the session of {session.client_id!r} is detached; attach a new one")
        if claims.sub != session.client_id:
            raise ForbiddenError("the token is another client's; a renewal keeps the client ID")
        session.claims = claims
        self.subscriptions.update_groups(session)
        self._send_open(session, recovered=None)

    def mark_disconnected(self, session: Session) -> None:
        """Stop delivery to a session whose connection is lost; `detach` must follow.

        This is the cheap first part of `detach`: if thousands of connections are lost at once,
        delivery to the others goes on while the detaching waits.
        """
        session.advance_to(self.history.latest)
        session.close()

    def detach(self, session: Session, left_off: Position | None = None) -> None:
        """Remove a session whose connection is gone; does nothing if it is removed already.

        `left_off` is the id up to which the client was served, if that is less than the session
        has handed to its sink.
        """
        if session not in self.sessions:
            return
        now = self.clocks.monotonic()
        if session.state is not SessionState.CLOSED:
            self._detach_disconnected(session.client_id)  # this session outlived those
            self.mark_disconnected(session)
        if left_off is not None:
            session.position = left_off
        if not self.subscriptions.remove(session, now + self.settings.history_max_age_s):
            self.presence.last_session_closed(session.client_id, now)

    def close(self, session: Session, code: int) -> None:
        """Detach a session and close its sink with a close code of `codes.py`, once."""
        if session in self.sessions:
            was_disconnected = session.state is SessionState.CLOSED
            self.detach(session)
            if not was_disconnected:
                session.sink.close(code, codes.REASONS[code])

    def resume(self, session: Session) -> None:
        """Continue delivery to a session whose sink can be written to again."""
        if session.resume():
            self._queue(session)

    def expire(self) -> None:
        """Expire old state and announce departures; to be called several times a second."""
        now, unix = self.clocks.monotonic(), self.clocks.unix()
        self.presence.expire(now)
        self.history.expire(int(unix * 1000), now)
        self.revocations.expire(now, unix)
        self.subscriptions.expire(now)
        self.subscriptions.memberships.expire(unix - limits.TOKEN_MAX_MINUTES * 60)

    def _start_of(
        self, asked: Position | None, keys: list[str], *, resumes: bool
    ) -> tuple[Position, bool | None]:
        """Return the id after which a session can start, and the `recovered` to report."""
        history = self.history
        if asked is None:
            return history.latest, None
        if history.covers(keys, asked):
            return asked, True if resumes else None
        if asked > history.latest:  # an id of another order, which has no meaning here
            return history.latest, False
        return history.floor_of(keys), False  # too old: nothing is missing after the floor

    def _send_open(self, session: Session, recovered: bool | None) -> None:
        session.advance_to(self.history.latest)
        fields = {
            "type": "open",
            "client_id": session.client_id,
            "id": str(session.position),
            "recovered": recovered,
            "expires_at": session.claims.exp,
            "ping_interval": _without_fraction(self.settings.ping_interval_s),
        }
        session.sink.deliver(ControlMessage(fields), self.clocks.monotonic())

    def _detach_disconnected(self, client_id: str) -> None:
        """Detach the client's lost sessions now: its next session starts where they left off."""
        for session in self.sessions_of(client_id):
            if session.state is SessionState.CLOSED:
                self.detach(session)

    def _queue(self, session: Session) -> None:
        if not self._pending:
            self._schedule(self.flush)
        self._pending.append(session)


def _without_fraction(seconds: float) -> float:
    """Return 25 for 25.0, so that JSON shows whole seconds as the contract does."""
    return int(seconds) if seconds == int(seconds) else seconds
