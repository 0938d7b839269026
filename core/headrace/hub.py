"""The heart: who is connected, what goes to whom, and what they may still be given.

    publish(entry) ──▶ backplane.append ──▶ apply(entry, position) ──▶ history, rings ──▶ flush

`publish` checks a send and gives it to the backplane, which places it in the one total order and
has every node `apply` it. `apply` makes one Message, remembers it, and pushes a reference into the
ring of each session it is for: no awaiting, no copying, no encoding per client. The first push of
a tick asks, through `schedule`, for one `flush` at the tick's end. Who is to get it stands in the
`Roster`; who came and went is told by `Presence`.

The hub belongs to one thread and knows no event loop: time is an argument or comes from the two
clocks it is given, and whoever makes it says how a flush is scheduled.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from headrace import codes, limits
from headrace.application import Application
from headrace.entries import AnyEntry, Entry, Join, Leave, Revoke
from headrace.errors import RequestError, StateError
from headrace.history import History
from headrace.message import Message, Notice, Run
from headrace.names import check_client_id, check_group, utf8_size
from headrace.position import Position
from headrace.presence import Change, Presence
from headrace.revocation import Revocations
from headrace.ring import RingBounds
from headrace.roster import Roster, keys_of
from headrace.session import Pushed, Session, Sink, State
from headrace.settings import Settings
from headrace.tokens import Claims

_FLUSH, _FULL = Pushed.FLUSH, Pushed.FULL


class Receipt(NamedTuple):
    """What became of an entry: its id, and how many sessions it was queued for."""

    id: Position
    sessions: int


class Backplane(Protocol):
    """What gives entries their place in the one total order."""

    def append(self, entry: AnyEntry) -> Awaitable[Receipt]:
        """Order `entry`, see to it that every node applies it, and say what became of it."""


class Clocks(NamedTuple):
    """Time, as the hub is given it: both return seconds."""

    monotonic: Callable[[], float]
    unix: Callable[[], float]


class Counters:
    """What `GET /v1/stats` reports beside sizes; each only grows."""

    __slots__ = ("deliveries", "dropped", "messages", "slow_closed")

    def __init__(self) -> None:
        self.messages = 0
        self.deliveries = 0
        self.dropped = 0
        self.slow_closed = 0


class Hub:
    """Publish, apply, attach and flush.

    `application` is told who comes and goes, if there is one.
    """

    def __init__(
        self, settings: Settings, clocks: Clocks, schedule: Callable[[Callable[[], None]], object]
    ) -> None:
        """`schedule(callback)` has `callback` called once, at the end of the event loop's tick."""
        self.settings = settings
        self.clocks = clocks
        self.counters = Counters()
        self.roster = Roster()
        self.revocations = Revocations()
        self.presence = Presence(settings.presence_grace_s, self._tell)
        self.application: Application | None = None
        self.backplane: Backplane | None = None
        self.history = History(
            Position(int(clocks.unix() * 1000), 0),
            max_bytes=settings.history_max_bytes,
            max_age_s=settings.history_max_age_s,
        )
        self._schedule = schedule
        self._bounds = RingBounds(settings.ring_max_messages, settings.ring_max_bytes)
        self._drop_oldest = settings.slow_consumer == "drop-oldest"
        self._dirty: list[Session] = []

    # --- sending -------------------------------------------------------------------------------

    async def publish(self, entry: AnyEntry) -> Receipt:
        """Check `entry`, order it and apply it.

        Raises RequestError: 400 for a target that cannot be, 413 for data over the limit.
        """
        if isinstance(entry, Entry):
            self.check(entry)
        else:
            check_client_id(entry.client_id, self.settings.client_id_max_bytes)
            if not isinstance(entry, Revoke):
                check_group(entry.group)
        if self.backplane is None:
            raise StateError("a hub needs its backplane before the first publish")
        return await self.backplane.append(entry)

    def check(self, entry: Entry) -> None:
        """Raise RequestError if `entry` names no target, a bad one, or holds too much data."""
        if bool(entry.to) + (entry.group is not None) + entry.everyone != 1:
            raise RequestError(
                400, 'a send needs exactly one target: "to", "group", or "everyone": true'
            )
        for client_id in entry.to:
            check_client_id(client_id, self.settings.client_id_max_bytes)
        if entry.group is not None:
            check_group(entry.group)
        size_bytes = utf8_size("data", entry.data)
        if size_bytes > self.settings.message_max_bytes:
            raise RequestError(
                413,
                f"the data is {size_bytes} bytes of UTF-8; a message holds at most"
                f" {self.settings.message_max_bytes}: send it in parts, or say where to fetch it",
            )

    def apply(self, entry: AnyEntry, position: Position) -> int:
        """Do what an ordered entry says; return how many sessions a send was queued for.

        Called by the backplane, once per entry, in the order of positions.
        """
        if not isinstance(entry, Entry):
            self._change(entry)
            return 0
        message = Message(position, entry.data, entry.group)
        sessions, keys = self.roster.audience(entry)
        self.history.append(message, keys)
        self.counters.messages += 1
        dirty = self._dirty
        was_clean = not dirty
        full = []
        for session in sessions:
            pushed = session.push(message)
            if pushed is _FLUSH:
                dirty.append(session)
            elif pushed is _FULL:
                full.append(session)
        if was_clean and dirty:
            self._schedule(self.flush)
        return len(sessions) - self._overflow(full, message) if full else len(sessions)

    def flush(self) -> None:
        """Hand to each session's sink what was queued since the last flush.

        A sink that raises is closed with 1011; the sessions behind it get theirs in a next flush.
        """
        dirty = self._dirty
        if not dirty:
            return
        self._dirty = []
        now = self.clocks.monotonic()
        runs: dict[tuple[Message, ...], Run] = {}
        delivered = 0
        waiting = iter(dirty)
        try:
            for session in waiting:
                delivered += session.flush(now, runs)
        except BaseException:  # whatever it is, it is raised again
            self.close(session, codes.INTERNAL_ERROR)
            raise
        finally:
            self.counters.deliveries += delivered
            for session in waiting:
                self._queue(session)

    def _overflow(self, full: list[Session], message: Message) -> int:
        """Treat the sessions that took nothing; return how many do not get the message."""
        slow = [session for session in full if session.state is not State.CLOSED]
        if self._drop_oldest:
            for session in slow:
                self.counters.dropped += session.push_dropping_oldest(message)
            return len(full) - len(slow)
        for session in slow:  # all of them before a sink is called, which may publish itself
            self.detach(session)
        self.counters.slow_closed += len(slow)
        for session in slow:
            session.sink.close(codes.TOO_SLOW, codes.REASONS[codes.TOO_SLOW])
        return len(full)

    def _change(self, entry: Join | Leave | Revoke) -> None:
        """Change what later sends reach."""
        channel = self.roster.channels.get(entry.client_id)
        sessions = list(channel.sessions) if channel is not None else []
        if isinstance(entry, Revoke):
            self.revocations.revoke(entry.client_id, entry.at)
            for session in sessions:
                self.close(session, codes.REVOKED_TOKEN)
            return
        memberships = self.roster.memberships
        say = memberships.join if isinstance(entry, Join) else memberships.leave
        say(entry.client_id, entry.group, entry.at)
        for session in sessions:
            self.roster.regroup(session)

    # --- sessions ------------------------------------------------------------------------------

    def attach(
        self,
        claims: Claims,
        sink: Sink,
        last_id: Position | None = None,
        since: Position | None = None,
    ) -> Session:
        """Open a session: subscribe it, and give it all that it missed.

        It goes on after `last_id`. A client that has none begins where its last session left off,
        or at its token's `pos`; and at `since` at the latest, where an earlier attempt of its own
        may have begun, and been served, without its knowing.

        All in one tick, so nothing slips between what the history gives and what comes live. The
        first thing that the sink gets is the `open` notice, before this returns. RequestError (400)
        for a `pos` in the claims that is no id.
        """
        self._finish_lost(claims.sub)
        session = Session(claims, sink, self._bounds)
        keys = keys_of(claims.sub, self.roster.groups_of(claims))
        asked = last_id if last_id is not None else self.roster.starting_point(claims, since)
        start, recovered = self._promise(asked, keys, resumes=last_id is not None)
        session.start(start, self.history.since(keys, start))
        channel = self.roster.add(session, start if asked is None else asked)
        self.presence.came(claims.sub, self.clocks.unix())
        self._announce(session, recovered)
        if session.state is State.QUEUED:
            self._queue(session)
        while len(channel.sessions) > self.settings.sessions_per_client:
            self.close(channel.sessions[0], codes.REPLACED)
        return session

    def renew(self, session: Session, claims: Claims) -> None:
        """Let `session` go on under a newer token of the same client; answers with a new `open`.

        Its groups become the newer token's. RequestError (403) for another client's token,
        StateError for a session that is detached.
        """
        if session not in self.sessions or session.state is State.CLOSED:
            raise StateError(f"the session of {session.client_id!r} is detached; attach a new one")
        if claims.sub != session.client_id:
            raise RequestError(403, "the token is another client's; a renewal keeps the client ID")
        session.claims = claims
        self.roster.regroup(session)
        self._announce(session, recovered=None)

    def lose(self, session: Session) -> None:
        """Deliver nothing more to a session whose connection is gone: what `detach` does first.

        It costs next to nothing; where thousands are lost at once, their `detach` can wait.
        """
        session.catch_up(self.history.latest)
        session.close()

    def detach(self, session: Session, left_off: Position | None = None) -> None:
        """Forget a session whose connection is gone; a second call does nothing.

        `left_off` is the id up to which its client was served, where its sink knows of less than
        it was given.
        """
        if session not in self.sessions:
            return
        now = self.clocks.monotonic()
        if session.state is not State.CLOSED:
            self._finish_lost(session.client_id)  # the client was here longer than there
            self.lose(session)
        if left_off is not None:
            session.position = left_off
        if not self.roster.remove(session, now + self.settings.history_max_age_s):
            self.presence.went(session.client_id, now)

    def close(self, session: Session, code: int) -> None:
        """End a session from our side with a close code of `codes.py`; once, as `detach`."""
        if session in self.sessions:
            lost = session.state is State.CLOSED
            self.detach(session)
            if not lost:
                session.sink.close(code, codes.REASONS[code])

    def resume(self, session: Session) -> None:
        """Go on with a session whose sink takes again."""
        if session.resume():
            self._queue(session)

    def expire(self) -> None:
        """Forget what is too old; tell of who is gone. To be called several times a second."""
        now, unix = self.clocks.monotonic(), self.clocks.unix()
        self.presence.expire(now)
        self.history.expire(int(unix * 1000))
        self.revocations.expire(unix)
        self.roster.expire(now)
        self.roster.memberships.expire(unix - limits.TOKEN_MAX_MINUTES * 60)

    @property
    def sessions(self) -> dict[Session, None]:
        """All sessions, in the order in which they came."""
        return self.roster.sessions

    def _promise(
        self, start: Position | None, keys: list[str], *, resumes: bool
    ) -> tuple[Position, bool | None]:
        """Return the id after which a session can begin, and the `recovered` to announce."""
        history = self.history
        if start is None:
            return history.latest, None
        if history.covers(keys, start):
            return start, True if resumes else None
        if start > history.latest:  # from another order: its ids say nothing here
            return history.latest, False
        return history.floor_of(keys), False  # too old: from where on nothing is missing

    def _announce(self, session: Session, recovered: bool | None) -> None:
        session.catch_up(self.history.latest)
        fields = {
            "type": "open",
            "client_id": session.client_id,
            "id": str(session.position),
            "recovered": recovered,
            "expires_at": session.claims.exp,
            "ping_interval": _plain(self.settings.ping_interval_s),
        }
        session.sink.deliver(Notice(fields), self.clocks.monotonic())

    def _finish_lost(self, client_id: str) -> None:
        """Detach what the client has lost: where that left off, its next session begins."""
        channel = self.roster.channels.get(client_id)
        if channel is not None:
            for session in [s for s in channel.sessions if s.state is State.CLOSED]:
                self.detach(session)

    def _queue(self, session: Session) -> None:
        if not self._dirty:
            self._schedule(self.flush)
        self._dirty.append(session)

    def _tell(self, change: Change) -> None:
        if self.application is not None:
            self.application.presence_changed(change)


def _plain(number: float) -> float:
    """Return a whole number as an int, so that JSON says 25 and not 25.0."""
    return int(number) if number == int(number) else number
