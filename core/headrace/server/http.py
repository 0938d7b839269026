"""HTTP on the event loop: a connection that answers requests, one behind the other.

It ends as a stream (the transport gets another protocol), or closes. A connection whose request
was refused before it was read to its end lingers: what still comes is thrown away until the peer
has read the answer, because a close with unread data would destroy it on its way (RFC 9112
section 9.6).
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

from headrace import limits
from headrace.api.answers import Answer
from headrace.api.routes import CONNECT, EVENTS
from headrace.api.routing import Match, Route
from headrace.api.streaming import BodyStream, StreamedAnswer
from headrace.errors import RequestError, TokenError
from headrace.protocol.http import Body, EndOfRequest, Event, HttpConnection, Request, State
from headrace.server.eager import rest
from headrace.server.exchange import StreamedExchange
from headrace.server.upgrade import open_event_stream, open_websocket
from headrace.wheel import UNSET

if TYPE_CHECKING:
    from headrace.server.server import Server


_OPENERS = {CONNECT.path: open_websocket, EVENTS.path: open_event_stream}


class HttpProtocol(asyncio.Protocol):
    """One connection until it closes or becomes a stream.

    Bytes go into the sans-I/O `HttpConnection`; `_advance` takes its events and acts on them, one
    request at a time. Handlers run as tasks; while one runs, nothing more is read.
    """

    __slots__ = (
        "_admitted",
        "_body",
        "_exchange",
        "_http",
        "_lingers",
        "_match",
        "_paused",
        "_peer_ended",
        "_queued",
        "_request",
        "_server",
        "_streak",
        "_task",
        "_transport",
        "_waits_turn",
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
        self._exchange: StreamedExchange | None = None
        self._admitted = False
        self._lingers = False
        self._paused = False  # the peer does not read its answers
        self._peer_ended = False
        self._streak = 0  # requests, and further pieces of bodies, since the loop had a turn
        self._waits_turn = False

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
            self._transport.abort()  # a close would wait for a goodbye of TLS

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
        else:  # what has come is a head's worth; the rest may wait on the way
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Note the end of the peer's side; what it asked before is still answered."""
        if self._lingers or not (self._admitted or self._queued):
            return False
        self._peer_ended = True
        if self._admitted:
            self._receive(b"")
        if self._match is not None and self._match.route.waits:  # it is gone, not waiting
            return False
        return self._transport.can_write_eof() and not self._lingers  # TLS has no half an end

    def pause_writing(self) -> None:
        """Take no further request while the peer does not read its answers."""
        self._paused = True
        self._set_deadline(self._server.settings.write_timeout_s)
        if self._exchange is not None:
            self._exchange.pause_writing()
        elif not self._lingers:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on with what the peer has asked in the meantime."""
        self._paused = False
        if self._exchange is not None:
            self._exchange.resume_writing()
            self._set_deadline(limits.BODY_TIMEOUT_S)
            self._advance()
        elif self._lingers:
            self._set_deadline(limits.LINGER_S)
        elif self._task is None:
            self._transport.resume_reading()
            self._set_deadline(limits.KEEP_ALIVE_S)
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a handler that still works ends by itself, unheard."""
        if self._exchange is not None:
            self._exchange.body.end(RequestError(400, "the client went before its body's end"))
            self._exchange.resume_writing()
        elif self._task is not None and self._match is not None and self._match.route.waits:
            self._task.cancel()
        self._server.forget(self)
        self._queued.clear()
        self._lingers = True

    def shut_down(self) -> None:
        """Close if idle; a request that has begun is answered first, and the answer is the last."""
        if self._http.state is State.IDLE and not self._queued and not self._lingers:
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for anything."""
        self._transport.abort()

    # --- requests ------------------------------------------------------------------------------

    def _admit(self) -> None:
        self._admitted = True
        data = b"".join(self._queued)
        more, self._queued = len(self._queued) > 1, []
        if self._transport.is_closing():
            return
        if more:
            self._transport.resume_reading()
        self._receive(data)
        if self._peer_ended and not self._lingers:
            self._receive(b"")

    def _receive(self, data: bytes) -> None:
        self._streak = 0
        was_idle = self._http.state is State.IDLE
        self._http.receive_data(data)
        if was_idle:  # a slow sender of a head has so long, however many pieces it comes in
            self._set_deadline(limits.HEADER_TIMEOUT_S)
        self._advance()

    def _advance(self) -> None:
        """Act on the events that are there, until bytes, a handler or the peer are awaited."""
        while not self._lingers and self._may_take():
            if self._had_its_turn():
                self._waits_turn = True
                self._transport.pause_reading()
                self._server.admission.defer(self._take_turn)
                break
            try:
                event = self._http.next_event()
                if event is None:
                    break
                if isinstance(event, Request):
                    self._streak += 1
                    self._begin(event)
                elif self._exchange is not None:
                    self._feed(self._exchange.body, event)
                elif isinstance(event, Body):
                    self._keep(event.data)
                elif isinstance(event, EndOfRequest):
                    self._run()
            except (RequestError, TokenError) as error:
                if self._exchange is not None:
                    self._exchange.body.end(RequestError(400, str(error)))
                    return
                self._respond(self._server.dispatcher.refuse(self._request, error))
        if self._http.should_close and not self._lingers:
            self._finish()

    def _may_take(self) -> bool:
        """Whether the next event has its turn: one request at a time, and none for the deaf."""
        if self._exchange is not None:  # it takes its body while it answers
            return True
        return self._task is None and not self._paused and not self._waits_turn

    def _had_its_turn(self) -> bool:
        """Whether what is left of a read has to wait until others were served, refusals too."""
        if self._exchange is not None or self._http.state is State.IDLE:
            return False
        return self._streak >= limits.REQUESTS_PER_TICK

    def _take_turn(self) -> None:
        """Go on with what is left of a read."""
        self._waits_turn = False
        self._streak = 0
        if self._transport.is_closing():
            return
        if not self._paused:
            self._transport.resume_reading()
        self._advance()

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
        if found.route.streams:
            self._http.body_max_bytes = None
            self._exchange = StreamedExchange(self._server, self._transport, self._http)
            self._task = self._server.loop.create_task(self._exchange_streams(self._exchange))
        proceed = self._http.send_continue()
        if proceed:
            self._transport.write(proceed)

    def _feed(self, body: BodyStream, event: Event) -> None:
        """Pass a piece of a streamed body on; a client has so long for each piece."""
        if isinstance(event, Body):
            body.feed(event.data)
            self._set_deadline(limits.BODY_TIMEOUT_S)
        else:
            body.end()
            self._server.wheel.cancel(self)

    def _keep(self, data: bytes) -> None:
        """Keep a piece of the body, where the route has a use for one."""
        self._streak += bool(self._body)  # one piece comes with its request
        if self._match is not None and self._match.route.body is not None:
            self._body.append(data)

    def _run(self) -> None:
        """Have the whole request answered."""
        request, match = self._request, self._match
        if request is None or match is None:  # it was answered from its head alone
            return
        if self._server.draining and (match.route.waits or match.route.handler is None):
            raise self._server.shutting_down()
        self._server.wheel.cancel(self)
        opener = _OPENERS.get(match.route.path)
        if opener is not None:
            opener(self._server, self._transport, self._http, request)
            self._lingers = True
            self._server.forget(self)
        else:
            self._answer(match.route, match, request)

    async def _exchange_streams(self, exchange: StreamedExchange) -> None:
        assert self._match is not None
        assert self._request is not None
        answer = await exchange.run(self._match, self._request)
        self._task = self._exchange = None
        if self._transport.is_closing():
            return
        if answer is not None:
            self._respond(answer)
        else:
            self._rest()
        self._advance()

    def _answer(self, route: Route, match: Match, request: Request) -> None:
        """Have the handler answer: at once, or in a task if it may wait or others have a turn."""
        work = self._server.dispatcher.answer(match, request, b"".join(self._body))
        if route.waits or route.asks:
            self._task = self._server.loop.create_task(self._answer_later(work))
        else:
            try:
                awaited = work.send(None)
            except StopIteration as done:
                self._respond(done.value)
                return
            self._task = self._server.loop.create_task(self._answer_later(rest(work, awaited)))
        if not route.waits:  # whoever waits must see the client go
            self._transport.pause_reading()

    async def _answer_later(self, work: Coroutine[Any, Any, Answer | StreamedAnswer]) -> None:
        answer = await work
        assert isinstance(answer, Answer)
        self._task = None
        self._streak = 0
        if self._transport.is_closing():
            return
        self._respond(answer)
        if not self._paused:
            self._transport.resume_reading()
            self._advance()

    def _respond(self, answer: Answer, *, close: bool = False) -> None:
        """Write an answer, and wait for the next request or close."""
        close = close or self._server.draining
        headers = (self._server.date, *answer.headers)
        data = self._http.respond(answer.status, headers, answer.body, close=close)
        self._transport.write(data)
        self._rest()

    def _rest(self) -> None:
        """Wait for the next request, or close, after an answer."""
        self._request = self._match = None
        self._body = []
        if self._http.should_close or self._server.draining:
            self._finish()
        elif not self._paused:
            self._set_deadline(limits.KEEP_ALIVE_S)

    def _finish(self) -> None:
        """Close our side, and read on for a while so that the peer gets the answer."""
        self._lingers = True
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof() and not self._peer_ended:
            self._transport.write_eof()
            self._transport.resume_reading()
            wait_s = limits.LINGER_S
        else:  # nothing more comes; or TLS, which has its own goodbye
            self._transport.close()
            wait_s = limits.CLOSE_TIMEOUT_S
        self._set_deadline(self._server.settings.write_timeout_s if self._paused else wait_s)

    # --- deadlines -----------------------------------------------------------------------------

    def on_deadline(self, now: float) -> None:
        """Answer 408 to a request that takes too long; close what is idle; cut what lingers."""
        if self._lingers or self._exchange is not None:
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
