"""A client's frames, server side (RFC 6455 sections 5 to 7).

    reader = FrameReader(deflate=agreed)
    try:
        events = reader.receive_data(data)        # bytes in, events out
    except FrameError as error:
        events = reader.before_fault              # what was whole before the fault
        write(close_frame(error.close_code, error.reason))

Bytes to send are made in `headrace.frames`: they are the same for every client.

Most of what clients send is one small whole frame, and most of the time they send nothing. So such
frames are read here, and a wsproto connection (1.8 KiB, 24 µs a frame) exists only from a read
that ends inside a frame or a message, or holds anything else, to one that ends between two.
"""

from dataclasses import dataclass
from io import StringIO
from typing import Final, TypeAlias

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, TextMessage
from wsproto.events import Ping as PingReceived
from wsproto.events import Pong as PongReceived

from headrace import codes, frames, limits
from headrace.errors import FrameError
from headrace.protocol.guard import Guard


@dataclass(frozen=True, slots=True)
class Text:
    """A whole text message, put together and inflated."""

    data: str


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping, to be answered by a pong with the same payload (section 5.5.2)."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong (section 5.5.3)."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The peer's close frame; `code` is 1005 when it was empty (section 7.1.5)."""

    code: int
    reason: str


Event: TypeAlias = Text | Ping | Pong | Close

_SHORT: Final = 126
"""From this payload length on, the length stands in further bytes (section 5.2)."""


class FrameReader:
    """Turns one client's bytes into events.

    `deflate` says that permessage-deflate was agreed, without context takeover. `max_bytes` is the
    limit of a message, before and after inflating; a longer one is refused at the header that
    announces it. After a fault or a Close all further bytes are ignored.
    """

    __slots__ = ("_decoder", "_deflate", "_ended", "_max_bytes", "before_fault")

    def __init__(
        self, *, deflate: bool = False, max_bytes: int = limits.CLIENT_FRAME_MAX_BYTES
    ) -> None:
        self._decoder: _Decoder | None = None
        self._deflate = deflate
        self._ended = False
        self._max_bytes = max_bytes
        self.before_fault: tuple[Event, ...] = ()
        """The events that stood in the bytes before the fault, once FrameError was raised."""

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the peer and return the events that they complete.

        Raises FrameError, once: 1002 against the protocol, 1003 for a binary message, 1007 not
        UTF-8 or not inflatable, 1009 over `max_bytes`. What was complete before the fault is then
        in `before_fault`.
        """
        events: list[Event] = []
        if self._ended:
            return events
        decoder = self._decoder
        if decoder is None:
            taken = _read_small_frames(data, min(self._max_bytes, _SHORT - 1), events)
            if taken == len(data):
                return events
            decoder = self._decoder = _Decoder(deflate=self._deflate, max_bytes=self._max_bytes)
            data = data[taken:]
        fault = decoder.decode(data, events)
        if fault is not None or decoder.closed:
            self._ended = True
            self._decoder = None
        elif decoder.between_messages:
            self._decoder = None
        if fault is not None:
            self.before_fault = tuple(events)
            raise fault
        return events


def _read_small_frames(data: bytes, max_bytes: int, events: list[Event]) -> int:
    """Read the whole, small, valid, unfragmented frames at the start of `data`.

    Return how many bytes they take. All else is left to wsproto, faults too.
    """
    position = 0
    while len(data) - position >= 6:
        size = data[position + 1] - 0x80  # negative without the mask bit
        end = position + 6 + size
        if not 0 <= size <= max_bytes or end > len(data):
            break
        first = data[position]
        payload = _unmask(data[position + 6 : end], data[position + 2 : position + 6])
        if first == 0x80 | frames.TEXT:
            try:
                events.append(Text(payload.decode()))
            except UnicodeDecodeError:
                break
        elif first == 0x80 | frames.PONG:
            events.append(Pong(payload))
        elif first == 0x80 | frames.PING:
            events.append(Ping(payload))
        else:
            break
        position = end
    return position


def _unmask(payload: bytes, key: bytes) -> bytes:
    """Return `payload` without its mask (section 5.3), all at once as one long number."""
    size = len(payload)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


class _Decoder:
    """A wsproto connection with what belongs to it."""

    __slots__ = ("_connection", "_fed", "_guard", "_text", "closed")

    def __init__(self, *, deflate: bool, max_bytes: int) -> None:
        self._guard = Guard(deflate=deflate, max_bytes=max_bytes)
        self._connection = Connection(ConnectionType.SERVER, extensions=[self._guard])
        self._fed = 0
        self._text = StringIO()
        self.closed = False

    @property
    def between_messages(self) -> bool:
        """Whether all bytes so far are whole messages and control frames."""
        return self._fed == self._guard.consumed and not self._guard.in_message

    def decode(self, data: bytes, events: list[Event]) -> FrameError | None:
        """Add to `events` what `data` completes, and return the fault that follows, if any."""
        self._fed += len(data)
        self._connection.receive_data(data)
        for event in self._connection.events():
            if isinstance(event, TextMessage):
                self._text.write(event.data)
                if event.message_finished:
                    events.append(Text(self._text.getvalue()))
                    self._text = StringIO()
            elif isinstance(event, PingReceived):
                events.append(Ping(bytes(event.payload)))
            elif isinstance(event, PongReceived):
                events.append(Pong(bytes(event.payload)))
            elif isinstance(event, CloseConnection):
                if self._connection.state is ConnectionState.OPEN:
                    return self._fault(event)
                self.closed = True
                events.append(Close(int(event.code), event.reason or ""))
        return None

    def _fault(self, event: CloseConnection) -> FrameError:
        """Return the fault that wsproto reports like a close frame, its state unchanged."""
        if self._guard.fault is not None:
            return self._guard.fault
        if event.code == codes.INVALID_PAYLOAD:
            # wsproto's text quotes the peer's bytes.
            return FrameError(codes.INVALID_PAYLOAD, codes.REASONS[codes.INVALID_PAYLOAD])
        return FrameError(int(event.code), event.reason or "")
