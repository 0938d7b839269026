"""A WebSocket on the event loop: frames out, and what the client sends.

An idle WebSocket is this object, its session and its transport. Its states (RFC 6455 section 7):

    state      close()    close frame from the peer
    OPEN       CLOSING    CLOSED
    CLOSING    -          CLOSED        aborted after CLOSE_TIMEOUT_S
    CLOSED     -          -

If the connection is lost the state does not change: the transport is closing and takes no data.
"""

import asyncio
import logging
from collections.abc import Iterable
from enum import Enum
from functools import partial
from typing import Final

import msgspec

from headrace import codes
from headrace.api.json_body import JSON_ERRORS, invalid_json
from headrace.api.responses import REPORTED_ERRORS, SERVER_FAULT, status_of
from headrace.errors import (
    FrameError,
    HeadraceError,
    RateLimitedError,
    TokenError,
)
from headrace.hub.session import Session
from headrace.messages import frames
from headrace.messages.message import ControlMessage, Encoding
from headrace.messages.wire import MessageRequest
from headrace.protocol.websocket.frame_reader import Close, FrameReader, Ping, Text, WebSocketEvent
from headrace.server.connections.stream_protocol import StreamProtocol
from headrace.server.context import CLOSE_TIMEOUT_S, ServerContext

FRAMES_PER_TURN_BYTES: Final = 4 * 1024
"""How much of one read is handled before other connections have a turn: up to 680 frames."""

UNREAD_REPLIES_MAX_BYTES: Final = 16 * 1024
"""Pongs and replies queued for a peer that sends but does not read; above it, it is aborted."""

PENDING_SENDS_MAX_COUNT: Final = 64
"""Messages of one WebSocket whose handling has not finished; above it 429."""

_log = logging.getLogger("headrace")

_PING: Final = frames.frame(frames.PING, b"")


class WebSocketState(Enum):
    """See the table above."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class _Renew(msgspec.Struct, frozen=True, tag="renew"):
    """A newer token; the reply is a new `open`."""

    token: str = ""


class _Send(MessageRequest, frozen=True, tag="send"):
    """An update-message; the reply is `sent` or `error` with the same `ref`."""

    ref: int | str | None = None


class _Ref(msgspec.Struct, frozen=True):
    """The `ref` of a frame that is invalid otherwise."""

    ref: int | str | None = None


_decoder = msgspec.json.Decoder(_Renew | _Send)
_ref_decoder = msgspec.json.Decoder(_Ref)


def _ref_of(data: str) -> int | str | None:
    try:
        return _ref_decoder.decode(data).ref
    except (msgspec.DecodeError, RecursionError):  # unreadable, or without a usable `ref`
        return None


class WebSocketProtocol(StreamProtocol):
    """One upgraded connection.

    Call `open` after the construction, then pass the bytes that followed the handshake. A
    connection that exists only to report a token fault gets `refuse` instead, and no session.
    """

    __slots__ = ("_is_alive", "_pending_sends", "_reader", "_state", "_unread_bytes")

    def __init__(
        self, context: ServerContext, transport: asyncio.Transport, encoding: Encoding
    ) -> None:
        super().__init__(context, transport, encoding)
        self._reader = FrameReader()
        self._state = WebSocketState.OPEN
        self._is_alive = True  # something was received since the last ping
        self._pending_sends = 0
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
        """Handle the peer's frames; the rest of a long read waits for later turns."""
        self._is_alive = True
        if len(data) <= FRAMES_PER_TURN_BYTES:
            self._read(data)
        else:
            self._transport.pause_reading()
            self._read_turn(data, 0)

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
            self._context.tick_budget.defer(partial(self._read_turn, data, end))
        else:
            self._transport.resume_reading()

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
        try:
            try:
                asked = _decoder.decode(data)
            except JSON_ERRORS as error:
                raise invalid_json(error, "frame") from None
            if isinstance(asked, _Send):
                self._start_send(session, asked)
            elif self._may_reply(len(asked.token)):  # an `open` is not much longer
                self._context.core.renew(session, self._context.hub.verify(asked.token))
                self._set_deadline(self._context.clocks.monotonic())
        except REPORTED_ERRORS as error:
            self._reply_error(error, _ref_of(data))

    def _handle_close(self, event: Close) -> None:
        """Answer a close frame with its own code (RFC 6455 section 5.5.1), then close TCP."""
        self._detach()
        if self._state is WebSocketState.OPEN:
            code = codes.NORMAL if event.code == codes.NO_STATUS else event.code
            self._transport.write(frames.close_frame(code))
        self._state = WebSocketState.CLOSED
        self._transport.close()
        self._set_timeout(CLOSE_TIMEOUT_S)

    # --- update-messages -----------------------------------------------------------------------

    def _start_send(self, session: Session, asked: _Send) -> None:
        """Handle an update-message in a task; those of one client are handled in order."""
        if self._pending_sends >= PENDING_SENDS_MAX_COUNT:
            raise RateLimitedError(
                f"{self._pending_sends} messages are still being handled; wait for their replies",
                retry_after_s=1,
            )
        self._pending_sends += 1
        self._context.spawn(self._send(session, asked))

    async def _send(self, session: Session, asked: _Send) -> None:
        try:
            receipt = await self._context.hub.send_from_client(
                session.claims, asked.data, to=asked.to, group=asked.group
            )
        except REPORTED_ERRORS as error:
            self._reply_error(error, asked.ref)
        except Exception:  # noqa: BLE001 - as over HTTP: a 500 for the client, details in the log
            _log.exception("handling a message over a WebSocket failed")
            self._reply_error(SERVER_FAULT, asked.ref)
        else:
            message_id = None if receipt is None else str(receipt.id)
            reply = ControlMessage({"type": "sent", "ref": asked.ref, "id": message_id})
            self._reply(reply.encode(self._encoding))
        finally:
            self._pending_sends -= 1

    # --- replies -------------------------------------------------------------------------------

    def _reply_error(self, error: HeadraceError, ref: int | str | None = None) -> None:
        fields: dict[str, object] = {"type": "error"}
        if ref is not None:
            fields["ref"] = ref
        if isinstance(error, TokenError):
            fields |= {"code": error.close_code, "detail": error.description}
        else:
            fields |= {"code": status_of(error), "detail": str(error)}
        self._reply(ControlMessage(fields).encode(self._encoding))

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
