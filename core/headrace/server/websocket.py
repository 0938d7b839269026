"""A WebSocket on the event loop: a stream of frames, and what its client says.

An idle one is this object, its session and its transport; everything else belongs to the process.

    state      close()   peer's close
    OPEN       CLOSING   CLOSED
    CLOSING    -         CLOSED         cut after CLOSE_TIMEOUT_S
    CLOSED     -         -

One that is lost stays in its state: the transport is closing, and takes no more.
"""

import asyncio
import logging
from collections.abc import Iterable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from headrace import codes, frames, limits
from headrace.api.answers import SERVER_FAULT
from headrace.api.messages import MessageRequest, take_message
from headrace.errors import FrameError, RequestError, TokenError
from headrace.message import Form, Notice
from headrace.protocol.websocket import Close, Event, FrameReader, Ping, Text
from headrace.server.stream import StreamProtocol
from headrace.session import Session

if TYPE_CHECKING:
    from headrace.server.server import Server

_log = logging.getLogger("headrace")

_PING = frames.frame(frames.PING, b"")


class State(Enum):
    """See the table above."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class _Renew(msgspec.Struct, frozen=True, tag="renew"):
    """A newer token; answered with a new `open`."""

    token: str = ""


class _Send(MessageRequest, frozen=True, tag="send"):
    """An update-message; answered with `sent` or `error` and the same `ref`."""

    ref: int | str | None = None


class _Numbered(msgspec.Struct, frozen=True):
    """The `ref` of a frame, whatever else is wrong with it."""

    ref: int | str | None = None


_decode = msgspec.json.Decoder(_Renew | _Send).decode
_decode_ref = msgspec.json.Decoder(_Numbered).decode


def _ref_of(data: str) -> int | str | None:
    try:
        return _decode_ref(data).ref
    except (msgspec.DecodeError, RecursionError):  # it cannot be read, or has no `ref`
        return None


class WebSocketProtocol(StreamProtocol):
    """One upgraded connection.

    `open` follows the construction, then the bytes that came behind the handshake. A connection
    that is only there to be told of its token's fault gets `refuse` instead, and no session.
    """

    __slots__ = ("_heard", "_reader", "_sends", "_state", "_unread_bytes")

    def __init__(self, server: "Server", transport: asyncio.Transport, form: Form) -> None:
        super().__init__(server, transport, form)
        self._reader = FrameReader()
        self._state = State.OPEN
        self._heard = True
        self._sends = 0  # messages of the client that are being taken
        self._unread_bytes = 0  # answers since the peer has stopped reading

    def refuse(self, error: TokenError) -> None:
        """Close at once with the code of a token's fault."""
        self.close(error.close_code, codes.REASONS[error.close_code])

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and wait for the peer's (RFC 6455 section 7.1.2), but not long."""
        self._session = None  # whoever closes has detached it
        if self._state is State.OPEN:
            self._state = State.CLOSING
            self._transport.write(frames.close_frame(code, reason))
            self._set_closing_deadline()

    def data_received(self, data: bytes) -> None:
        """Take the peer's frames; of a long read, the rest waits until others had their turn."""
        self._heard = True
        if len(data) <= limits.FRAMES_PER_TURN_BYTES:
            self._read(data)
        else:
            self._transport.pause_reading()
            self._read_on(data, 0)

    def _read_on(self, data: bytes, start: int) -> None:
        end = start + limits.FRAMES_PER_TURN_BYTES
        if not self._transport.is_closing():  # since the turn before
            try:
                self._read(data[start:end])
            except BaseException:  # as the loop does in `data_received`; else it would read no more
                self._transport.abort()
                raise
        if self._transport.is_closing():
            return
        if end < len(data):
            self._server.admission.defer(partial(self._read_on, data, end))
        else:
            self._transport.resume_reading()

    def _read(self, data: bytes) -> None:
        try:
            events = self._reader.receive_data(data)
        except FrameError as error:
            self._receive(self._reader.before_fault)
            self._detach()
            self.close(error.close_code, error.reason)
            self._end()
        else:
            self._receive(events)

    def _end(self) -> None:
        """End our side, as nothing of the peer's is read any more (RFC 6455 section 7.1.7)."""
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()  # a close could destroy the close frame on its way
        else:
            self._transport.close()

    def _receive(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Text):
                self._receive_text(event.data)
            elif isinstance(event, Ping):
                self._write_control(frames.frame(frames.PONG, event.payload))
            elif isinstance(event, Close):
                self._receive_close(event)

    def _heard_of(self) -> None:
        self._heard = True

    def _beat(self) -> bool:
        """Ping the peer (RFC 6455 section 5.5.2); False if nothing came since the last ping."""
        if not self._heard:
            return False
        self._heard = False
        self._write_control(_PING)
        return True

    def _receive_text(self, data: str) -> None:
        """Take a message of the client; one without the subprotocol has nothing to say."""
        session = self._session
        if session is None or self._form is not Form.V1:
            return
        try:
            asked = _decode(data)
            if isinstance(asked, _Send):
                self._send(session, asked)
            elif self._may_answer(len(asked.token)):  # an `open` is not much longer
                self._server.hub.renew(session, self._server.node.verify(asked.token))
                self._set_deadline(self._server.clocks.monotonic())
        except msgspec.DecodeError as error:
            self._tell_error(RequestError(400, f"the frame does not fit: {error}"), _ref_of(data))
        except RecursionError:
            self._tell_error(RequestError(400, "the frame is nested too deeply"))
        except (RequestError, TokenError) as error:
            self._tell_error(error)

    def _send(self, session: Session, asked: _Send) -> None:
        """Have a message taken; those of one client are, in the order in which they come."""
        if self._sends >= limits.CLIENT_SENDS_MAX_COUNT:
            detail = f"{self._sends} messages are still being taken; wait for their answers"
            self._tell_error(RequestError(429, detail), asked.ref)
            return
        self._sends += 1
        self._server.run(self._take(session, asked))

    async def _take(self, session: Session, asked: _Send) -> None:
        try:
            sent = await take_message(self._server.node, session.claims, asked)
        except RequestError as error:
            self._tell_error(error, asked.ref)
        except Exception:  # noqa: BLE001 - as by HTTP: the client gets a 500, the log the rest
            _log.exception("a message over a WebSocket failed")
            self._tell_error(SERVER_FAULT, asked.ref)
        else:
            answer = {"type": "sent", "ref": asked.ref, "id": None if sent is None else sent.id}
            self._write_control(Notice(answer).encoded(self._form))
        finally:
            self._sends -= 1

    def _tell_error(self, error: RequestError | TokenError, ref: int | str | None = None) -> None:
        fields: dict[str, object] = {"type": "error"}
        if ref is not None:
            fields["ref"] = ref
        if isinstance(error, TokenError):
            fields |= {"code": error.close_code, "detail": error.description}
        else:
            fields |= {"code": error.status, "detail": error.detail}
        self._write_control(Notice(fields).encoded(self._form))

    def _receive_close(self, event: Close) -> None:
        """Answer a close frame with its own code (RFC 6455 section 5.5.1), then close TCP."""
        self._detach()
        if self._state is State.OPEN:
            code = codes.NORMAL if event.code == codes.NO_STATUS else event.code
            self._transport.write(frames.close_frame(code))
        self._state = State.CLOSED
        self._transport.close()
        self._set_closing_deadline()

    def _write_control(self, data: bytes) -> None:
        """Write an answer to what the peer sent."""
        if self._state is not State.OPEN or self._transport.is_closing():
            return
        if self._may_answer(len(data)):
            self._transport.write(data)

    def _may_answer(self, size_bytes: int) -> bool:
        """Cut a peer that sends but does not read; tell whether this is none.

        What counts is the answers to what it sends, not the messages that it has still to read.
        """
        if self._paused_at is None:
            self._unread_bytes = 0
            return True
        self._unread_bytes += size_bytes
        if self._unread_bytes <= limits.PENDING_CONTROL_MAX_BYTES:
            return True
        self._transport.abort()
        return False
