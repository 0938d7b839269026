"""Read the frames of one WebSocket client (RFC 6455 sections 5 to 7).

    reader = FrameReader(deflate=agreed)
    try:
        events = reader.receive_data(data)        # bytes in, events out
    except FrameError as error:
        events = reader.events_before_fault       # those that were complete before the fault
        write(close_frame(error.close_code, error.reason))

Frames to send are made by `headrace.messages.frames`, because they are the same for every client.

Clients send little, and mostly small unfragmented frames. Those are decoded here. All others, and
all faults, are left to a wsproto connection. That costs 1.8 KiB and 24 µs a frame, so it exists
only until a read ends between two messages.
"""

from dataclasses import dataclass
from io import StringIO
from typing import Final, TypeAlias

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, TextMessage
from wsproto.events import Ping as PingReceived
from wsproto.events import Pong as PongReceived

from headrace import codes, limits
from headrace.errors import FrameError
from headrace.messages import frames
from headrace.protocol.websocket.frame_guard import FrameGuard


@dataclass(frozen=True, slots=True)
class Text:
    """A whole text message, reassembled and inflated."""

    data: str


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping; answer it with a pong with the same payload (section 5.5.2)."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong (section 5.5.3)."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The peer's close frame; `code` is 1005 if the frame is empty (section 7.1.5)."""

    code: int
    reason: str


WebSocketEvent: TypeAlias = Text | Ping | Pong | Close

_SMALL_PAYLOAD_MAX_BYTES: Final = 125
"""The length of a longer payload is in an extended length field (section 5.2)."""


class FrameReader:
    """Reads events from one client's bytes.

    `deflate` is True if permessage-deflate without context takeover was agreed. `max_bytes` limits
    a message, before and after inflating; a longer one is refused at the header that announces it.
    After a fault or a Close all further bytes are ignored.
    """

    __slots__ = ("_decoder", "_deflate", "_ended", "_max_bytes", "events_before_fault")

    def __init__(
        self, *, deflate: bool = False, max_bytes: int = limits.CLIENT_FRAME_MAX_BYTES
    ) -> None:
        self._decoder: _Decoder | None = None
        self._deflate = deflate
        self._ended = False
        self._max_bytes = max_bytes
        self.events_before_fault: tuple[WebSocketEvent, ...] = ()
        """After a FrameError: the events that were complete before the fault."""

    @property
    def buffered_bytes(self) -> int:
        """The bytes of the incomplete message and the incomplete frame."""
        return 0 if self._decoder is None else self._decoder.buffered_bytes

    def receive_data(self, data: bytes) -> list[WebSocketEvent]:
        """Take bytes from the peer and return the events that they complete.

        Raises FrameError, once: 1002 protocol violation, 1003 binary message, 1007 not UTF-8 or
        not inflatable, 1009 over `max_bytes`. The events before the fault are then in
        `events_before_fault`.
        """
        events: list[WebSocketEvent] = []
        if self._ended:
            return events
        decoder = self._decoder
        if decoder is None:
            taken = _read_small_frames(data, min(self._max_bytes, _SMALL_PAYLOAD_MAX_BYTES), events)
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
            self.events_before_fault = tuple(events)
            # A new one: a local variable of this frame would make the traceback a reference cycle.
            raise FrameError(fault.close_code, fault.reason)
        return events


def _read_small_frames(data: bytes, max_bytes: int, events: list[WebSocketEvent]) -> int:
    """Append the events of the complete, small, valid, unfragmented frames that `data` begins with.

    Return the size of these frames in bytes. wsproto reads the rest.
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
    """Return `payload` without its mask (section 5.3), using one XOR of two big integers."""
    size = len(payload)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


class _Decoder:
    """A wsproto connection with its FrameGuard and the text of the current message."""

    __slots__ = ("_connection", "_guard", "_received_bytes", "_text", "closed")

    def __init__(self, *, deflate: bool, max_bytes: int) -> None:
        self._guard = FrameGuard(deflate=deflate, max_bytes=max_bytes)
        self._connection = Connection(ConnectionType.SERVER, extensions=[self._guard])
        self._received_bytes = 0
        self._text = StringIO()
        self.closed = False

    @property
    def between_messages(self) -> bool:
        """True if the bytes so far are complete messages and control frames."""
        return self._received_bytes == self._guard.consumed and not self._guard.in_message

    @property
    def buffered_bytes(self) -> int:
        """The bytes of the incomplete message and the incomplete frame."""
        return self._guard.message_bytes + self._received_bytes - self._guard.consumed

    def decode(self, data: bytes, events: list[WebSocketEvent]) -> FrameError | None:
        """Append the events that `data` completes; return the fault after them, or None."""
        self._received_bytes += len(data)
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
        """Return the fault that wsproto reports as a CloseConnection in state OPEN."""
        if self._guard.fault is not None:
            return self._guard.fault
        if event.code == codes.INVALID_PAYLOAD:
            # wsproto's reason quotes the peer's bytes; leave them out.
            return FrameError(codes.INVALID_PAYLOAD, codes.REASONS[codes.INVALID_PAYLOAD])
        return FrameError(int(event.code), event.reason or "")
