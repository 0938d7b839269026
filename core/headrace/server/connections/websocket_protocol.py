"""A WebSocket on the event loop: frames out, and what the client sends.

An idle WebSocket is this object, its session and its transport. Its states (RFC 6455 section 7):

    state      close()    close frame from the peer
    OPEN       CLOSING    CLOSED
    CLOSING    -          CLOSED        aborted after CLOSE_TIMEOUT_S
    CLOSED     -          -

If the connection is lost the state does not change: the transport is closing and takes no data.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from enum import Enum
from functools import partial
from typing import Any, Final

from headrace import codes
from headrace.api.client_frames import ClientFrames
from headrace.errors import FrameError, TokenError
from headrace.messages import frames
from headrace.messages.message import ControlMessage, Encoding
from headrace.protocol.websocket.frame_reader import Close, FrameReader, Ping, Text, WebSocketEvent
from headrace.server.connections.stream_protocol import StreamProtocol
from headrace.server.context import CLOSE_TIMEOUT_S, ServerContext
from headrace.server.memory_budget import COUNTED_MIN_BYTES, Owner

FRAMES_PER_TURN_BYTES: Final = 1024
"""How much of one read is handled before other connections have a turn: up to 170 frames, which
take 4 ms at most (24 µs for a fragment of a message)."""

UNREAD_REPLIES_MAX_BYTES: Final = 16 * 1024
"""Pongs and replies queued for a peer that sends but does not read; above it, it is aborted."""

_PING: Final = frames.frame(frames.PING, b"")


class WebSocketState(Enum):
    """See the table above."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class WebSocketProtocol(StreamProtocol):
    """One upgraded connection.

    Call `open` after the construction, then pass the bytes that followed the handshake. A
    connection that exists only to report a token fault gets `refuse` instead, and no session.
    """

    __slots__ = ("_client_frames", "_is_alive", "_reader", "_state", "_unread_bytes")

    def __init__(
        self, context: ServerContext, transport: asyncio.Transport, encoding: Encoding
    ) -> None:
        super().__init__(context, transport, encoding)
        self._reader = FrameReader()
        self._state = WebSocketState.OPEN
        self._is_alive = True  # something was received since the last ping
        self._client_frames: ClientFrames | None = None  # until the first text frame
        self._unread_bytes = 0  # of replies, since the peer stopped reading

    def refuse(self, error: TokenError) -> None:
        """Close at once with the code of a token fault."""
        self.close(error.close_code, codes.REASONS[error.close_code])

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and wait a few seconds for the peer's (RFC 6455 section 7.1.2)."""
        self._session = None  # the caller has detached it
        if self._state is WebSocketState.OPEN:
            self._state = WebSocketState.CLOSING
            self._transport.write(frames.close_frame(code, reason))
            self._set_timeout(CLOSE_TIMEOUT_S)

    # --- frames from the peer ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Handle the peer's frames: now, or in later turns if this tick's time is used up.

        Short reads count too: many connections can each send some hundred frames in one tick.
        """
        self._is_alive = True
        if not self._context.input_budget.submit(partial(self._read_turn, data, 0)):
            self._transport.pause_reading()

    def _read_turn(self, data: bytes, start: int) -> None:
        end = start + FRAMES_PER_TURN_BYTES
        if not self._transport.is_closing():  # since the previous turn
            try:
                self._read(data[start:end])
            except BaseException:  # abort as the event loop does; reading would stay paused
                self._transport.abort()
                raise
        if self._transport.is_closing():
            return
        if end < len(data):
            self._transport.pause_reading()
            self._context.input_budget.defer(partial(self._read_turn, data, end))
            return
        self._hold(self._reader.buffered_bytes)
        if not self._transport.is_reading():
            self._transport.resume_reading()

    def _hold(self, size_bytes: int) -> None:
        """Count an incomplete message; abort if the client's connections hold too much."""
        memory = self._context.memory
        if size_bytes < COUNTED_MIN_BYTES:
            memory.release(self)
            return
        session = self._session
        owner = Owner(session.client_id) if session else Owner(None, self._peer_address())
        memory.hold(self, owner, size_bytes)
        if memory.is_full(owner):
            self._transport.abort()

    def _read(self, data: bytes) -> None:
        try:
            events = self._reader.receive_data(data)
        except FrameError as error:
            self._handle(self._reader.events_before_fault)
            self._detach()
            self.close(error.close_code, error.reason)
            self._end()
        else:
            self._handle(events)

    def _end(self) -> None:
        """End our side: nothing from the peer is read any more (RFC 6455 section 7.1.7)."""
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()  # closing could destroy the close frame on its way
        else:
            self._transport.close()

    def _handle(self, events: Iterable[WebSocketEvent]) -> None:
        for event in events:
            if isinstance(event, Text):
                self._handle_text(event.data)
            elif isinstance(event, Ping):
                self._reply(frames.frame(frames.PONG, event.payload))
            elif isinstance(event, Close):
                self._handle_close(event)

    def _handle_text(self, data: str) -> None:
        """Handle a frame of `headrace.v1`; frames of other clients are ignored."""
        session = self._session
        if session is None or self._encoding is not Encoding.V1:
            return
        if self._client_frames is None:
            self._client_frames = ClientFrames(self._context.hub)
        reply = self._client_frames.handle(session, data)
        if isinstance(reply, ControlMessage):
            self._reply(reply.encode(self._encoding))
        elif reply is not None:
            self._context.spawn(self._reply_later(reply))
        elif self._may_reply(len(data)):  # the `open` of a renewal is not much longer
            self._set_deadline(self._context.clocks.monotonic())

    def _handle_close(self, event: Close) -> None:
        """Answer a close frame with its own code (RFC 6455 section 5.5.1), then close TCP."""
        self._detach()
        if self._state is WebSocketState.OPEN:
            code = codes.NORMAL if event.code == codes.NO_STATUS else event.code
            self._transport.write(frames.close_frame(code))
        self._state = WebSocketState.CLOSED
        self._transport.close()
        self._set_timeout(CLOSE_TIMEOUT_S)

    # --- replies -------------------------------------------------------------------------------

    async def _reply_later(self, work: Coroutine[Any, Any, ControlMessage]) -> None:
        self._reply((await work).encode(self._encoding))

    def _reply(self, data: bytes) -> None:
        """Write a reply to what the peer sent."""
        if self._state is not WebSocketState.OPEN or self._transport.is_closing():
            return
        if self._may_reply(len(data)):
            self._transport.write(data)

    def _may_reply(self, size_bytes: int) -> bool:
        """Abort a peer that sends without reading. Return False if aborted.

        Only replies count, not the messages that the peer has still to read.
        """
        if self._paused_at is None:
            self._unread_bytes = 0
            return True
        self._unread_bytes += size_bytes
        if self._unread_bytes <= UNREAD_REPLIES_MAX_BYTES:
            return True
        self._transport.abort()
        return False

    # --- liveness ------------------------------------------------------------------------------

    def _peer_active(self) -> None:
        self._is_alive = True

    def _heartbeat(self) -> bool:
        """Ping the peer (RFC 6455 section 5.5.2); return False if it has sent nothing since."""
        if not self._is_alive:
            return False
        self._is_alive = False
        self._reply(_PING)
        return True
