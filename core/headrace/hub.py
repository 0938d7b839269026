"""The heart: who is connected, what goes to whom, and what they may still be given.

    publish(entry) ──▶ backplane.append ──▶ apply(entry, position) ──▶ history, rings ──▶ flush

`publish` checks a send and gives it to the backplane, which places it in the one total order and
has every node `apply` it. `apply` makes one Message, remembers it, and pushes a reference into the
ring of each session it is for: no awaiting, no copying, no encoding per client. The first push of
a tick asks, through `schedule`, for one `flush` at the tick's end.

The hub belongs to one thread and knows no event loop: time is an argument or comes from the two
clocks it is given, and whoever makes it says how a flush is scheduled.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple, Protocol

from headrace import codes
from headrace.errors import RequestError, StateError
from headrace.history import EVERYONE, History, channel_key, group_key
from headrace.message import Entry, Message, Notice, Run
from headrace.names import check_client_id, check_group, utf8_size
from headrace.position import START, Position, parse_position
from headrace.ring import RingBounds
from headrace.session import Pushed, Session, Sink, State
from headrace.settings import Settings
from headrace.tokens import Claims

_FLUSH, _FULL = Pushed.FLUSH, Pushed.FULL


class Receipt(NamedTuple):
    """What became of a send: its id, and how many sessions it was queued for."""

    id: Position
    sessions: int


class Backplane(Protocol):
    """What gives entries their place in the one total order."""

    def append(self, entry: Entry) -> Awaitable[Receipt]:
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


class Channel:
    """The sessions of one client that are open now, the oldest first."""

    __slots__ = ("newest_pos", "sessions")

    def __init__(self, newest_pos: Position) -> None:
        self.sessions: list[Session] = []
        self.newest_pos = newest_pos  # of the tokens that have opened a session so far


class _Left(NamedTuple):
    """What is remembered for a while of a client that has no session any more."""

    position: Position
    newest_pos: Position
    forget_at: float  # monotonic seconds


class Hub:
    """Channels, groups, publish, apply, attach and flush."""

    def __init__(
        self, settings: Settings, clocks: Clocks, schedule: Callable[[Callable[[], None]], object]
    ) -> None:
        """`schedule(callback)` has `callback` called once, at the end of the event loop's tick."""
        self.settings = settings
        self.clocks = clocks
        self.counters = Counters()
        self.sessions: dict[Session, None] = {}
        self.channels: dict[str, Channel] = {}
        self.groups: dict[str, dict[Session, None]] = {}
        self.history = History(
            Position(int(clocks.unix() * 1000), 0),
            max_bytes=settings.history_max_bytes,
            max_age_s=settings.history_max_age_s,
        )
        self.backplane: Backplane | None = None
        self._schedule = schedule
        self._bounds = RingBounds(settings.ring_max_messages, settings.ring_max_bytes)
        self._drop_oldest = settings.slow_consumer == "drop-oldest"
        self._dirty: list[Session] = []
        self._left: dict[str, _Left] = {}  # in the order in which they left

    # --- sending -------------------------------------------------------------------------------

    async def publish(self, entry: Entry) -> Receipt:
        """Check `entry`, order it and apply it.

        Raises RequestError: 400 for a target that cannot be, 413 for data over the limit.
        """
        self.check(entry)
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

    def apply(self, entry: Entry, position: Position) -> int:
        """Deliver an ordered entry; return how many sessions it was queued for.

        Called by the backplane, once per entry, in the order of positions.
        """
        message = Message(position, entry.data, entry.group)
        sessions, keys = self._audience(entry)
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
        count = len(sessions)
        if not full:
            return count
        if self._drop_oldest:
            for session in full:
                self.counters.dropped += session.push_dropping_oldest(message)
            return count
        for session in full:  # all of them before a sink is called, which may publish itself
            self.detach(session)
        self.counters.slow_closed += len(full)
        for session in full:
            session.sink.close(codes.TOO_SLOW, codes.REASONS[codes.TOO_SLOW])
        return count - len(full)

    def flush(self) -> None:
        """Hand to each session's sink what was queued since the last flush.

        A sink that raises is closed with 1011; the sessions behind it get theirs in a next flush.
        """
        dirty, self._dirty = self._dirty, []
        now = self.clocks.monotonic()
        runs: dict[tuple[Message, ...], Run] = {}
        delivered = 0
        waiting = iter(dirty)
        try:
            for session in waiting:
                delivered += session.flush(now, runs)
        except BaseException:
            self.close(session, codes.INTERNAL_ERROR)
            raise
        finally:
            self.counters.deliveries += delivered
            for session in waiting:
                self._queue(session)

    def _audience(self, entry: Entry) -> tuple[Collection[Session], tuple[str, ...]]:
        """Return the sessions that `entry` is for, each once, and its keys in the history."""
        if entry.group is not None:
            return self.groups.get(entry.group, ()), (group_key(entry.group),)
        if entry.everyone:
            return self.sessions, (EVERYONE,)
        client_ids = dict.fromkeys(entry.to)
        keys = tuple([channel_key(client_id) for client_id in client_ids])
        channels = [c for client_id in client_ids if (c := self.channels.get(client_id))]
        if len(channels) == 1:
            return channels[0].sessions, keys
        return [session for channel in channels for session in channel.sessions], keys

    # --- sessions ------------------------------------------------------------------------------

    def attach(self, claims: Claims, sink: Sink, last_id: Position | None = None) -> Session:
        """Open a session: subscribe it, and give it all that it missed.

        All in one tick, so nothing slips between what the history gives and what comes live. The
        first thing that the sink gets is the `open` notice, before this returns. RequestError (400)
        for a `pos` in the claims that is no id.
        """
        session = Session(claims, sink, self._bounds)
        start, recovered = self._starting_point(claims, last_id)
        session.start(start, self.history.since(_keys_of(claims), start))
        channel = self.channels[claims.sub]
        channel.sessions.append(session)
        self.sessions[session] = None
        self._subscribe(session)
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
        if session not in self.sessions:
            raise StateError(f"the session of {session.client_id!r} is detached; attach a new one")
        if claims.sub != session.client_id:
            raise RequestError(403, "the token is another client's; a renewal keeps the client ID")
        self._unsubscribe(session)
        session.claims = claims
        self._subscribe(session)
        self._announce(session, recovered=None)

    def detach(self, session: Session) -> None:
        """Forget a session whose connection is gone; a second call does nothing."""
        if session not in self.sessions:
            return
        del self.sessions[session]
        self._unsubscribe(session)
        session.catch_up(self.history.latest)
        client_id = session.client_id
        channel = self.channels[client_id]
        channel.sessions.remove(session)
        if not channel.sessions:
            del self.channels[client_id]
            forget_at = self.clocks.monotonic() + self.settings.history_max_age_s
            self._left[client_id] = _Left(session.position, channel.newest_pos, forget_at)
        session.close()

    def close(self, session: Session, code: int) -> None:
        """End a session from our side with a close code of `codes.py`; once, as `detach`."""
        if session in self.sessions:
            self.detach(session)
            session.sink.close(code, codes.REASONS[code])

    def resume(self, session: Session) -> None:
        """Go on with a session whose sink takes again."""
        if session.resume():
            self._queue(session)

    def expire(self) -> None:
        """Forget what is too old to be given again; to be called every second or so."""
        self.history.expire(int(self.clocks.unix() * 1000))
        now = self.clocks.monotonic()
        while self._left and (first := next(iter(self._left.items())))[1].forget_at <= now:
            del self._left[first[0]]

    def _starting_point(
        self, claims: Claims, last_id: Position | None
    ) -> tuple[Position, bool | None]:
        """Return the id after which a new session begins, and the `recovered` to announce.

        In this order: the `last_id` it says; where the client's last session left off, if it has
        none now; the token's `pos`, if no session has begun there; the newest id.
        """
        pos = START if claims.pos is None else parse_position(claims.pos)
        left = self._left.pop(claims.sub, None)
        channel = self.channels.get(claims.sub)
        if channel is None:
            channel = self.channels[claims.sub] = Channel(left.newest_pos if left else START)
        start = last_id
        if start is None and left is not None:
            start = left.position
        elif start is None and pos > channel.newest_pos:
            start = pos
        channel.newest_pos = max(channel.newest_pos, pos)

        history = self.history
        if start is None:
            return history.latest, None
        if history.covers(_keys_of(claims), start):
            return start, None if last_id is None else True
        if start > history.latest:  # from another order: its ids say nothing here
            return history.latest, False
        return max(start, history.floor), False  # too old: all that is left comes again

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

    def _subscribe(self, session: Session) -> None:
        session.groups = tuple(dict.fromkeys(session.claims.groups))
        for group in session.groups:
            self.groups.setdefault(group, {})[session] = None

    def _unsubscribe(self, session: Session) -> None:
        for group in session.groups:
            members = self.groups[group]
            del members[session]
            if not members:
                del self.groups[group]

    def _queue(self, session: Session) -> None:
        if not self._dirty:
            self._schedule(self.flush)
        self._dirty.append(session)


def _plain(number: float) -> float:
    """Return a whole number as an int, so that JSON says 25 and not 25.0."""
    return int(number) if number == int(number) else number


def _keys_of(claims: Claims) -> list[str]:
    """Return the keys under which the history holds what these claims may see."""
    return [EVERYONE, channel_key(claims.sub), *map(group_key, claims.groups)]
