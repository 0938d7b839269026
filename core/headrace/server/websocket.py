"""A WebSocket on the event loop: frames in, and the `Sink` of its session.

An idle one is this object, its session and its transport; everything else belongs to the process.

    state      close()   peer's close   lost
    OPEN       CLOSING   CLOSED         CLOSED
    CLOSING    -         CLOSED         CLOSED     cut after CLOSE_TIMEOUT_S
    CLOSED     -         -              -
"""

import asyncio
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from headrace import codes, frames, limits
from headrace.errors import FrameError, RequestError, TokenError
from headrace.message import Encodable, Form, Notice
from headrace.position import Position
from headrace.protocol.websocket import Close, FrameReader, Ping, Text
from headrace.session import Session
from headrace.tokens import Claims
from headrace.wheel import UNSET

if TYPE_CHECKING:
    from headrace.server.server import Server

_PING = frames.frame(frames.PING, b"")
_PING_NOTICE = Notice({"type": "ping"})


class State(Enum):
    """See the table above."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class _FromClient(msgspec.Struct, frozen=True):
    """What a `headrace.v1` client may send."""

    type: str
    token: str = ""


_decode = msgspec.json.Decoder(_FromClient).decode


class WebSocketProtocol(asyncio.Protocol):
    """One upgraded connection.

    `open` follows the construction; until then there is no session. A connection that is only
    there to be told its close code never gets one: it has `refuse` instead.
    """

    __slots__ = (
        "_beat_at",
        "_form",
        "_heard",
        "_last_write",
        "_paused_at",
        "_reader",
        "_server",
        "_session",
        "_state",
        "_transport",
        "tick",
    )

    def __init__(self, server: "Server", transport: asyncio.Transport, form: Form) -> None:
        self.tick = UNSET
        self._server = server
        self._transport = transport
        self._form = form
        self._reader = FrameReader()
        self._session: Session | None = None
        self._state = State.OPEN
        self._heard = True
        self._last_write = 0.0
        self._beat_at = 0.0
        self._paused_at: float | None = None

    def open(self, claims: Claims, last_id: Position | None, trailing: bytes) -> None:
        """Attach to the hub; `trailing` are frames that came in the handshake's segment."""
        now = self._server.clocks.monotonic()
        self._transport.set_write_buffer_limits(limits.WRITE_HIGH_WATER_BYTES)
        self._beat_at = now + self._server.settings.ping_interval_s
        self._session = self._server.hub.attach(claims, self, last_id)
        self._set_deadline(now)
        if trailing:
            self.data_received(trailing)

    def refuse(self, error: TokenError) -> None:
        """Close at once with the code of a token's fault."""
        self.close(error.close_code, codes.REASONS[error.close_code])

    # --- the session's sink --------------------------------------------------------------------

    def deliver(self, what: Encodable, now: float) -> None:
        """Write a message, a run of them or a notice, in this connection's form."""
        data = what.encoded(self._form)
        if data:  # a bare client gets no notices
            self._transport.write(data)
            self._last_write = now

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and wait for the peer's (RFC 6455 section 7.1.2), but not long."""
        if self._state is not State.OPEN:
            return
        self._state = State.CLOSING
        self._transport.write(frames.close_frame(code, reason))
        self._server.wheel.set(self, self._server.clocks.monotonic() + limits.CLOSE_TIMEOUT_S)

    # --- the transport's callbacks -------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take the peer's frames."""
        self._heard = True
        try:
            for event in self._reader.receive_data(data):
                if isinstance(event, Text):
                    self._receive_text(event.data)
                elif isinstance(event, Ping):
                    self._write_control(frames.frame(frames.PONG, event.payload))
                elif isinstance(event, Close):
                    self._receive_close(event)
        except FrameError as error:
            self._detach()
            self.close(error.close_code, error.reason)

    def eof_received(self) -> bool:
        """Let the transport close: nothing that we send would be answered."""
        return False

    def pause_writing(self) -> None:
        """Leave what comes in the ring until the peer has taken more."""
        self._paused_at = now = self._server.clocks.monotonic()
        if self._session is not None:
            self._session.pause()
        if self._state is State.OPEN:
            self._set_deadline(now)

    def resume_writing(self) -> None:
        """Go on with what waits in the ring."""
        self._paused_at = None
        if self._session is not None:
            self._server.hub.resume(self._session)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._state = State.CLOSED
        self._server.forget(self)
        self._detach()

    def shut_down(self) -> None:
        """Go on with the close that the session was told; there is nothing else to end."""

    def abort(self) -> None:
        """Close without waiting for anything."""
        self._transport.abort()

    # --- deadlines -----------------------------------------------------------------------------

    def on_deadline(self, now: float) -> None:
        """Do what the time asks for: cut, expire or ping; then set the next deadline."""
        session = self._session
        if self._state is not State.OPEN or session is None:
            self._transport.abort()
            return
        settings = self._server.settings
        if self._paused_at is not None and now - self._paused_at >= settings.write_timeout_s:
            self._transport.abort()
            return
        if session.claims.exp <= self._server.clocks.unix():
            self._server.hub.close(session, codes.EXPIRED_TOKEN)
            return
        if now >= self._beat_at:
            if not self._heard:  # the last ping has had no answer: the line is dead
                self._transport.abort()
                return
            self._heard = False
            self._beat_at = now + settings.ping_interval_s
            self._write_control(_PING)
        if self._paused_at is None and now - self._last_write >= settings.ping_interval_s:
            self.deliver(_PING_NOTICE, now)
            self._last_write = now
        self._set_deadline(now)

    def _set_deadline(self, now: float) -> None:
        assert self._session is not None
        settings = self._server.settings
        expires_at = now + self._session.claims.exp - self._server.clocks.unix()
        deadline = min(self._beat_at, self._last_write + settings.ping_interval_s, expires_at)
        if self._paused_at is not None:
            deadline = min(self._beat_at, self._paused_at + settings.write_timeout_s, expires_at)
        self._server.wheel.set(self, deadline)

    # --- what the peer says --------------------------------------------------------------------

    def _receive_text(self, data: str) -> None:
        """Take a message of the client; one without the subprotocol has nothing to say."""
        session = self._session
        if session is None or self._state is not State.OPEN or self._form is not Form.V1:
            return
        try:
            asked = _decode(data)
            if asked.type != "renew":
                raise RequestError(400, f'{asked.type[:40]!r} is no type; a client sends "renew"')
            claims = self._server.node.signer.verify(asked.token, now=self._server.clocks.unix())
            self._server.hub.renew(session, claims)
        except msgspec.DecodeError as error:
            self._tell_error(400, f"the frame does not fit: {error}")
        except RequestError as error:
            self._tell_error(error.status, error.detail)
        except TokenError as error:
            self._tell_error(error.close_code, error.description)
        else:
            self._set_deadline(self._server.clocks.monotonic())

    def _tell_error(self, code: int, detail: str) -> None:
        notice = Notice({"type": "error", "code": code, "detail": detail})
        self._write_control(notice.encoded(self._form))

    def _receive_close(self, event: Close) -> None:
        """Answer a close frame with its own code (RFC 6455 section 5.5.1), then close TCP."""
        self._detach()
        if self._state is State.OPEN:
            code = codes.NORMAL if event.code == codes.NO_STATUS else event.code
            self._transport.write(frames.close_frame(code))
        self._state = State.CLOSED
        self._transport.close()
        self._server.wheel.set(self, self._server.clocks.monotonic() + limits.CLOSE_TIMEOUT_S)

    def _write_control(self, data: bytes) -> None:
        """Write an answer to what the peer sent; cut a peer that sends but does not read."""
        if self._state is not State.OPEN:
            return
        waiting = self._transport.get_write_buffer_size()
        if waiting > limits.WRITE_HIGH_WATER_BYTES + limits.PENDING_CONTROL_MAX_BYTES:
            self._transport.abort()
            return
        self._transport.write(data)

    def _detach(self) -> None:
        if self._session is not None:
            self._server.hub.detach(self._session)
            self._session = None
