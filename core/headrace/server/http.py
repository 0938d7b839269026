"""HTTP on the event loop: a connection that answers requests, one behind the other.

It ends as a stream (the transport gets another protocol), or closes. A connection whose request
was refused before it was read to its end lingers: what still comes is thrown away until the peer
has read the answer, because a close with unread data would destroy it on its way (RFC 9112
section 9.6).
"""

import asyncio
from typing import TYPE_CHECKING, cast

from headrace import limits
from headrace.api.answers import Answer
from headrace.api.auth import PROTOCOL, claims_of, query_value
from headrace.api.routes import CONNECT, EVENTS
from headrace.api.routing import Match
from headrace.errors import RequestError, TokenError
from headrace.message import Form
from headrace.position import parse_position
from headrace.protocol.handshake import read_handshake
from headrace.protocol.http import Body, EndOfRequest, HttpConnection, Request, State
from headrace.server.events import HEADERS as EVENT_STREAM_HEADERS
from headrace.server.events import EventStreamProtocol, retry_line
from headrace.server.stream import StreamProtocol
from headrace.server.websocket import WebSocketProtocol
from headrace.wheel import UNSET

if TYPE_CHECKING:
    from headrace.server.server import Server


class HttpProtocol(asyncio.Protocol):
    """One connection until it closes or becomes a stream.

    Bytes go into the sans-I/O `HttpConnection`; `_advance` takes its events and acts on them, one
    request at a time. Handlers run as tasks; while one runs, nothing more is read.
    """

    __slots__ = (
        "_admitted",
        "_body",
        "_http",
        "_lingers",
        "_match",
        "_queued",
        "_request",
        "_server",
        "_task",
        "_transport",
        "tick",
    )

    _transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        self.tick = UNSET
        self._server = server
        self._http = HttpConnection()
        self._request: Request | None = None
        self._match: Match | None = None
        self._body: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._queued: list[bytes] = []  # what came before our first turn
        self._admitted = False
        self._lingers = False

    # --- the transport's callbacks -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request, or turn away a connection too many."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        server = self._server
        self._set_deadline(limits.HEADER_TIMEOUT_S)
        refusal = server.refusal()
        if refusal is None:
            server.connections.add(self)
            return
        self._admitted = True
        self._respond(server.dispatcher.refuse(None, refusal), close=True)
        server.turned_away.add(self)
        if len(server.turned_away) > limits.TURNED_AWAY_MAX_COUNT:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request; the first ones of a connection wait for its turn."""
        if self._lingers:
            return
        if self._admitted:
            self._receive(data)
            return
        self._queued.append(data)
        if len(self._queued) == 1:
            self._server.admission.submit(self._admit)

    def eof_received(self) -> bool:
        """Note the end of the peer's side; an answer that is on its way is still given."""
        if self._admitted and not self._lingers:
            self._http.receive_data(b"")
            self._advance()
        waits = self._match is not None and self._match.route.waits
        return not self._admitted or (self._task is not None and not waits)

    def pause_writing(self) -> None:
        """Take no further request while the peer does not read its answers."""
        self._transport.pause_reading()
        self._set_deadline(self._server.settings.write_timeout_s)

    def resume_writing(self) -> None:
        """Go on with what the peer has asked in the meantime."""
        self._transport.resume_reading()
        self._set_deadline(limits.KEEP_ALIVE_S)
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a handler that still works ends by itself, unheard."""
        if self._task is not None and self._match is not None and self._match.route.waits:
            self._task.cancel()
        self._server.forget(self)
        self._queued.clear()
        self._lingers = True

    def shut_down(self) -> None:
        """Close if idle; an answer that is being made is given first, and says that it closes."""
        if self._task is None and not self._lingers:
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for anything."""
        self._transport.abort()

    # --- requests ------------------------------------------------------------------------------

    def _admit(self) -> None:
        self._admitted = True
        data = b"".join(self._queued)
        self._queued = []
        if data and not self._transport.is_closing():
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        was_idle = self._http.state is State.IDLE
        self._http.receive_data(data)
        if was_idle:  # a slow sender of a head has so long, however many pieces it comes in
            self._set_deadline(limits.HEADER_TIMEOUT_S)
        self._advance()

    def _advance(self) -> None:
        """Act on the events that are there, until bytes or a handler's answer are awaited."""
        try:
            while self._task is None and not self._lingers:
                event = self._http.next_event()
                if event is None:
                    break
                if isinstance(event, Request):
                    self._begin(event)
                elif isinstance(event, Body):
                    self._body.append(event.data)
                elif isinstance(event, EndOfRequest):
                    self._run()
        except (RequestError, TokenError) as error:
            self._respond(self._server.dispatcher.refuse(self._request, error))
        if self._http.should_close and not self._lingers:
            self._finish()

    def _begin(self, request: Request) -> None:
        """Find the route; a refusal comes before the body is asked for."""
        self._request = request
        self._body = []
        found = self._server.dispatcher.begin(request)
        if isinstance(found, Answer):
            self._respond(found)
            return
        self._match = found
        self._set_deadline(limits.BODY_TIMEOUT_S)
        proceed = self._http.send_continue()
        if proceed:
            self._transport.write(proceed)

    def _run(self) -> None:
        """Have the whole request answered."""
        request, match = self._request, self._match
        if request is None or match is None:  # it was answered from its head alone
            return
        self._server.wheel.cancel(self)
        if match.route is CONNECT:
            self._upgrade(request)
        elif match.route is EVENTS:
            self._stream(request)
        else:
            if not match.route.waits:  # whoever waits must see the client go
                self._transport.pause_reading()
            work = self._answer(match, request, b"".join(self._body))
            self._task = self._server.loop.create_task(work)

    async def _answer(self, match: Match, request: Request, body: bytes) -> None:
        answer = await self._server.dispatcher.answer(match, request, body)
        self._task = None
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        self._respond(answer)
        self._advance()

    def _respond(self, answer: Answer, *, close: bool = False) -> None:
        """Write an answer, and wait for the next request or close."""
        close = close or self._server.draining
        data = self._http.respond(answer.status, answer.headers, answer.body, close=close)
        self._request = self._match = None
        self._body = []
        self._transport.write(data)
        if self._http.should_close:
            self._finish()
        else:
            self._set_deadline(limits.KEEP_ALIVE_S)

    def _finish(self) -> None:
        """Close our side, and read on for a while so that the peer gets the answer."""
        self._lingers = True
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._set_deadline(limits.LINGER_S)
        else:  # TLS has its own goodbye
            self._transport.close()
            self._set_deadline(limits.CLOSE_TIMEOUT_S)

    # --- streams -------------------------------------------------------------------------------

    def _upgrade(self, request: Request) -> None:
        """Become a WebSocket; a token's fault is told in a way that the client can read."""
        server = self._server
        handshake = read_handshake(request)
        is_v1 = PROTOCOL in handshake.subprotocols
        last_id = query_value(request, "last_id")
        position = parse_position(last_id) if last_id else None
        claims = fault = None
        try:
            claims = claims_of(server.node, request)
        except TokenError as error:
            if not is_v1:
                raise
            fault = error
        self._transport.write(self._http.upgrade(handshake.answer(PROTOCOL if is_v1 else None)))
        socket = WebSocketProtocol(server, self._transport, Form.V1 if is_v1 else Form.BARE)
        self._hand_over(socket)
        if claims is not None:
            socket.open(claims, position)
            if self._http.trailing_data:
                socket.data_received(self._http.trailing_data)
        elif fault is not None:
            socket.refuse(fault)

    def _stream(self, request: Request) -> None:
        """Become an event stream; a browser that comes back says the last id in a header."""
        server = self._server
        claims = claims_of(server.node, request)
        last_id = request.header("last-event-id") or query_value(request, "last_id")
        position = parse_position(last_id) if last_id else None
        answer = server.dispatcher.with_cors(request, Answer(200, EVENT_STREAM_HEADERS))
        head = self._http.start_response(200, answer.headers, until_close=True)
        self._transport.write(head + retry_line())
        stream = EventStreamProtocol(server, self._transport)
        self._hand_over(stream)
        stream.open(claims, position)

    def _hand_over(self, stream: StreamProtocol) -> None:
        """Give the transport another protocol; this one is done."""
        self._lingers = True
        self._server.connections.add(stream)
        self._server.forget(self)
        self._transport.set_protocol(stream)

    # --- deadlines -----------------------------------------------------------------------------

    def on_deadline(self, now: float) -> None:
        """Answer 408 to a request that takes too long; close what is idle; cut what lingers."""
        if self._lingers:
            self._transport.abort()
        elif self._http.in_request:
            what = "head" if self._http.state is State.HEAD else "body"
            error = RequestError(408, f"the request's {what} took too long to arrive")
            self._respond(self._server.dispatcher.refuse(self._request, error), close=True)
        elif self._transport.get_write_buffer_size():  # it does not read its answers
            self._transport.abort()
        else:
            self._transport.close()

    def _set_deadline(self, seconds: float) -> None:
        self._server.wheel.set(self, self._server.clocks.monotonic() + seconds)
