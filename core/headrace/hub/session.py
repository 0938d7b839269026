"""The delivery state of one client connection: what waits for it, and whether it can be written to.

A session knows no socket. It delivers to a `Sink`, whose owner calls `pause()` when the transport's
write buffer is full and `resume()` when it has drained. In between, messages wait in the ring as
references.

    state     start    push     flush     pause    resume   close
    IDLE      QUEUED*  QUEUED   IDLE      PAUSED   IDLE     CLOSED
    QUEUED    -        QUEUED   FLUSHING  PAUSED   QUEUED   CLOSED
    FLUSHING  -        QUEUED   -         PAUSED   -        CLOSED   then IDLE, if all is delivered
    PAUSED    -        PAUSED   PAUSED    PAUSED   QUEUED*  CLOSED
    CLOSED    -        CLOSED   CLOSED    CLOSED   CLOSED   CLOSED

    *  IDLE if nothing waits
    -  StateError from `start`, otherwise no effect

FLUSHING also ends when the sink pauses or closes the session, or its owner pushes; what still waits
then goes with the next flush. A single waiting message is delivered without that state.

Flushing a session that is not QUEUED does nothing: the hub's list of sessions to flush may hold one
twice, or one that was paused or closed in the meantime.
"""

from enum import Enum
from typing import Protocol

from headrace.auth.tokens import Claims
from headrace.errors import StateError
from headrace.hub.replay import Replay
from headrace.hub.ring import Ring, RingBounds
from headrace.messages.message import ControlMessage, Encodable, Message, MessageBatch
from headrace.messages.position import START, Position

FLUSH_MAX_BYTES = 256 * 1024
"""Data in one write to a transport; a single message may be larger."""


class Sink(Protocol):
    """Where a session's messages go: a socket, or the connection of a host that embeds the hub.

    Both methods may call the hub: send, attach, detach. Neither should raise: if a connection
    cannot be written to, detach its session. If `deliver` raises, the session is closed with 1011,
    because its client may have missed something and must resume.
    """

    def deliver(self, what: Encodable, now: float) -> None:
        """Write a `Message`, a `MessageBatch` or a `ControlMessage`, without waiting.

        `now` is monotonic time in seconds. May call the session's `pause()`.
        """

    def close(self, code: int, reason: str) -> None:
        """Close the connection with a close code of `codes.py`; nothing is delivered after it."""


class SessionState(Enum):
    """The states of the table above."""

    IDLE = "idle"
    QUEUED = "queued"  # in the hub's list of sessions to flush
    FLUSHING = "flushing"  # its backlog is being delivered
    PAUSED = "paused"
    CLOSED = "closed"


class PushResult(Enum):
    """The result of a push."""

    WAITS = "waits"  # goes with what is queued already, or after a resume
    FLUSH = "flush"  # the session was idle, and must be flushed
    FULL = "full"  # not pushed: the ring is full, or the session is closed


# Looked up once: on the hot path an enum's attribute costs more than the rest of the branch.
_IDLE, _QUEUED, _FLUSHING = SessionState.IDLE, SessionState.QUEUED, SessionState.FLUSHING
_PAUSED, _CLOSED = SessionState.PAUSED, SessionState.CLOSED
_WAITS, _FLUSH, _FULL = PushResult.WAITS, PushResult.FLUSH, PushResult.FULL


class Session:
    """One open connection of a client.

    `position` is the id up to which everything was delivered to the sink. `groups` are the groups
    that the session is subscribed to; `Subscriptions` maintains them.
    """

    __slots__ = (
        "_bounds",
        "_dropped_after",
        "_replay",
        "_ring",
        "_single",
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
        self.position = START
        self.state = SessionState.IDLE
        self._bounds = bounds
        self._single: Message | None = None  # the only one that waits, the usual case
        self._ring: Ring | None = None
        self._replay: Replay | None = None
        self._dropped_after: Position | None = None

    @property
    def client_id(self) -> str:
        """The client ID in the token."""
        return self.claims.sub

    @property
    def backlog(self) -> int:
        """The number of waiting messages."""
        waiting = len(self._ring) if self._ring is not None else self._single is not None
        return waiting + (len(self._replay) if self._replay is not None else 0)

    def start(self, position: Position, missed: Replay) -> None:
        """Start after the id `position`, with the messages missed since, which are delivered first.

        They may exceed the ring's bounds: they are references into the history, and are delivered
        at the client's pace. Raise StateError if the session has started already.
        """
        if self.state is not _IDLE:
            raise StateError(f"a session starts once, while idle; this one is {self.state.value}")
        self.position = position
        if missed:
            self._replay = missed
            self.state = _QUEUED

    def advance_to(self, latest: Position) -> None:
        """Set `position` to the newest id of all, unless something waits.

        Otherwise a client that received nothing for long would resume at an old id, and be told of
        a possible loss because the history no longer has the floors of its keys.
        """
        # Not `backlog`, which costs more: thousands of sessions may be lost at once.
        if self._single is None and self._ring is None and self._replay is None:
            self.position = latest

    def push(self, message: Message) -> PushResult:
        """Queue `message`; on `FLUSH` the caller must call `flush` soon."""
        if self.state is _IDLE:  # nothing waits
            self.state = _QUEUED
            self._single = message
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
        """Drop as many of the oldest waiting messages as needed, and queue `message`.

        Return the number of dropped messages. The client gets a `gap` control message in their
        place.
        """
        if self.state is _CLOSED:
            return 0
        dropped = 0
        ring = self._backlog_ring()
        while not ring.push(message):
            ring.take_oldest()
            dropped += 1
        if dropped and self._dropped_after is None:
            self._dropped_after = self._replay.newest if self._replay else self.position
        return dropped

    def flush(self, now: float, batches: dict[tuple[Message, ...], MessageBatch]) -> int:
        """Deliver what waits until the sink pauses; return the number of delivered messages.

        `batches` holds the batches of this flush, for all sessions with the same backlog.
        """
        if self.state is not _QUEUED:
            return 0
        single = self._single
        if single is not None:  # then nothing else waits
            self._single = None
            self.state = _IDLE  # before the delivery, in which the sink may pause the session
            self.position = single.position
            self.sink.deliver(single, now)
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
            batch = batches.get(messages)
            if batch is None:
                batch = batches[messages] = MessageBatch(messages)
            self.sink.deliver(batch, now)
        return delivered

    def pause(self) -> None:
        """Stop delivering: the transport's write buffer is full."""
        if self.state is not _CLOSED:
            self.state = _PAUSED

    def resume(self) -> bool:
        """Allow delivery again; return True if the caller must flush the session."""
        if self.state is not _PAUSED:
            return False
        self.state = _QUEUED if self.backlog else _IDLE
        return self.state is _QUEUED

    def close(self) -> None:
        """Release the backlog; nothing is delivered any more."""
        self.state = _CLOSED
        self._single = self._ring = self._replay = None

    def _take(self, now: float) -> tuple[Message, ...]:
        """Remove and return the next messages; deliver the `gap` before them first."""
        replay = self._replay
        if replay is not None:
            taken = replay.take(FLUSH_MAX_BYTES)
            if not replay:
                self._replay = None
            return taken
        while self._dropped_after is not None:  # again, if the sink dropped more by a push
            assert self._ring is not None
            before = self._ring.oldest.position
            gap = {"type": "gap", "after": str(self._dropped_after), "before": str(before)}
            self._dropped_after = None
            self.sink.deliver(ControlMessage(gap), now)
            if self.state is not _FLUSHING:  # the sink paused or closed the session
                return ()
        if self._ring is None:
            return ()
        messages = self._ring.take(FLUSH_MAX_BYTES)
        if not len(self._ring):
            self._ring = None
        return messages

    def _backlog_ring(self) -> Ring:
        """Return the ring; it is created when a second message waits."""
        ring = self._ring
        if ring is None:
            ring = self._ring = Ring(self._bounds)
            if self._single is not None:
                ring.push(self._single)
                self._single = None
        return ring
