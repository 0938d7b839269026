"""One client's delivery state: what it has still to be given, and whether it can take it now.

A session knows no socket. It pushes through a `Sink`, whose owner tells it `pause()` when the
client does not take any more and `resume()` when it does again. Between the two, messages wait in
the ring as references.

    state     start    push     flush     pause    resume   close
    IDLE      QUEUED*  QUEUED   IDLE      PAUSED   IDLE     CLOSED
    QUEUED    -        QUEUED   FLUSHING  PAUSED   QUEUED   CLOSED
    FLUSHING  -        QUEUED   -         PAUSED   -        CLOSED   then IDLE, when all is out
    PAUSED    -        PAUSED   PAUSED    PAUSED   QUEUED*  CLOSED
    CLOSED    -        CLOSED   CLOSED    CLOSED   CLOSED   CLOSED

    *  IDLE where nothing waits
    -  StateError, or without effect

FLUSHING is left when the sink pauses or closes the session, or when its owner pushes: what is
still there then waits for the next flush. A message that waits alone goes out without that state.

Flushing a session that is not QUEUED does nothing: the hub's list may name one twice, or name one
that has paused or closed since.
"""

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from headrace import limits
from headrace.errors import StateError
from headrace.message import Encodable, Message, Notice, Run
from headrace.position import Position
from headrace.ring import Ring, RingBounds
from headrace.tokens import Claims


class Sink(Protocol):
    """Where a session's messages go: a socket, or the socket of a host that embeds the hub.

    Both methods may call the hub: publish, attach, detach. Neither should raise: a connection that
    cannot be written to is one to detach. If `deliver` does, the session is closed with 1011,
    because its client may have missed something and must resume.
    """

    def deliver(self, what: Encodable, now: float) -> None:
        """Write `what` (a Message, a Run of them, or a Notice); never waits.

        `now` is the monotonic time in seconds. May call the session's `pause()`.
        """

    def close(self, code: int, reason: str) -> None:
        """End the connection with a close code of `codes.py`; nothing is delivered afterwards."""


class State(Enum):
    """See the table above."""

    IDLE = "idle"
    QUEUED = "queued"  # in the hub's list of sessions to be flushed
    FLUSHING = "flushing"  # a backlog is being handed to the sink
    PAUSED = "paused"
    CLOSED = "closed"


class Pushed(Enum):
    """What became of a pushed message."""

    WAITS = "waits"  # it will go out with what is already queued, or after a resume
    FLUSH = "flush"  # the session was idle: it must be flushed
    FULL = "full"  # the ring would pass its bounds, or is closed: nothing was pushed


# Looked up once: a class attribute costs more than the whole rest of the branch on the hot path.
_IDLE, _QUEUED, _FLUSHING = State.IDLE, State.QUEUED, State.FLUSHING
_PAUSED, _CLOSED = State.PAUSED, State.CLOSED
_WAITS, _FLUSH, _FULL = Pushed.WAITS, Pushed.FLUSH, Pushed.FULL


class Session:
    """One open connection of a client.

    `position` is the id up to which everything was handed to the sink; `groups` are the groups it
    is subscribed to (kept by the hub).
    """

    __slots__ = (
        "_bounds",
        "_dropped_after",
        "_only",
        "_replay",
        "_ring",
        "claims",
        "groups",
        "position",
        "sink",
        "state",
    )

    def __init__(self, claims: Claims, sink: Sink, bounds: RingBounds) -> None:
        self.claims = claims
        self.sink = sink
        self.groups: tuple[str, ...] = ()
        self.position: Position = _NOWHERE
        self.state = State.IDLE
        self._bounds = bounds
        self._only: Message | None = None  # waits alone: most sessions never need more
        self._ring: Ring | None = None
        self._replay: deque[Message] | None = None
        self._dropped_after: Position | None = None

    @property
    def client_id(self) -> str:
        """The client whose channel this is."""
        return self.claims.sub

    @property
    def backlog(self) -> int:
        """How many messages wait."""
        waiting = len(self._ring) if self._ring is not None else self._only is not None
        return waiting + (len(self._replay) if self._replay is not None else 0)

    def start(self, position: Position, missed: Iterable[Message]) -> None:
        """Begin after the id `position`, with the messages missed since, to be given first.

        They may be more than the ring would hold: they are references into the history, and go
        out at the client's pace. StateError for a session that has begun already.
        """
        if self.state is not _IDLE:
            raise StateError(f"a session starts once, while idle; this one is {self.state.value}")
        self.position = position
        replay = deque(missed)
        if replay:
            self._replay = replay
            self.state = _QUEUED

    def catch_up(self, latest: Position) -> None:
        """Move `position` on to the newest id of all, unless something waits.

        Else a client for whom there was nothing for long would name an old id, and be told that it
        may have missed something where the history no longer knows of its keys.
        """
        # Asking `backlog` would cost more, and thousands may be lost at once.
        if self._only is None and self._ring is None and self._replay is None:
            self.position = latest

    def push(self, message: Message) -> Pushed:
        """Queue `message`."""
        if self.state is _IDLE:  # nothing waits
            self.state = _QUEUED
            self._only = message
            return _FLUSH
        ring = self._ring
        if ring is None:
            if self.state is _CLOSED:
                return _FULL
            ring = self._backlog_ring()
        if not ring.push(message):
            return _FULL
        if self.state is _FLUSHING:
            self.state = _QUEUED
            return _FLUSH
        return _WAITS

    def push_dropping_oldest(self, message: Message) -> int:
        """Queue `message` in place of the oldest that wait; return how many those were.

        The client is told by a `gap` notice where they would have been.
        """
        if self.state is _CLOSED:
            return 0
        dropped = 0
        ring = self._backlog_ring()
        while not ring.push(message):
            ring.take_oldest()
            dropped += 1
        if dropped and self._dropped_after is None:
            self._dropped_after = self._replay[-1].position if self._replay else self.position
        return dropped

    def flush(self, now: float, runs: dict[tuple[Message, ...], Run]) -> int:
        """Hand what waits to the sink for as long as it takes it; return how many messages went.

        `runs` holds what was joined already in this flush, for all sessions with the same backlog.
        """
        if self.state is not _QUEUED:
            return 0
        only = self._only
        if only is not None:  # and so nothing else waits
            self._only = None
            self.state = _IDLE  # before any writing: the sink may pause us
            self.position = only.position
            self.sink.deliver(only, now)
            return 1
        delivered = 0
        self.state = _FLUSHING
        while self.state is _FLUSHING:
            messages = self._take(now)
            if not messages:
                if self.state is _FLUSHING:
                    self.state = _IDLE
                break
            self.position = messages[-1].position
            delivered += len(messages)
            if len(messages) == 1:
                self.sink.deliver(messages[0], now)
                continue
            run = runs.get(messages)
            if run is None:
                run = runs[messages] = Run(messages)
            self.sink.deliver(run, now)
        return delivered

    def pause(self) -> None:
        """Take note that the client takes nothing now."""
        if self.state is not _CLOSED:
            self.state = _PAUSED

    def resume(self) -> bool:
        """Take note that the client takes again; True when there is something to be flushed."""
        if self.state is not _PAUSED:
            return False
        self.state = _QUEUED if self.backlog else _IDLE
        return self.state is _QUEUED

    def close(self) -> None:
        """Let go of the backlog; nothing is delivered any more."""
        self.state = _CLOSED
        self._only = self._ring = self._replay = None

    def _take(self, now: float) -> tuple[Message, ...]:
        """Remove the next messages; a gap before them is told first."""
        replay = self._replay
        if replay is not None:
            taken = [replay.popleft()]
            size_bytes = taken[0].size_bytes
            while replay and (size_bytes := size_bytes + replay[0].size_bytes) <= _BATCH_BYTES:
                taken.append(replay.popleft())
            if not replay:
                self._replay = None
            return tuple(taken)
        while self._dropped_after is not None:  # again, if the sink's owner pushed meanwhile
            assert self._ring is not None
            before = self._ring.oldest.position
            gap = {"type": "gap", "after": str(self._dropped_after), "before": str(before)}
            self._dropped_after = None
            self.sink.deliver(Notice(gap), now)
            if self.state is not _FLUSHING:  # the notice was the last thing that the sink took
                return ()
        if self._ring is None:
            return ()
        messages = self._ring.take(_BATCH_BYTES)
        if not len(self._ring):
            self._ring = None
        return messages

    def _backlog_ring(self) -> Ring:
        """Return the ring, made when a second message waits."""
        ring = self._ring
        if ring is None:
            ring = self._ring = Ring(self._bounds)
            if self._only is not None:
                ring.push(self._only)
                self._only = None
        return ring


_BATCH_BYTES = limits.FLUSH_MAX_BYTES
_NOWHERE = Position(0, 0)
