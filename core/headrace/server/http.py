"""HTTP on the event loop: a connection that answers requests, one behind the other.

What it does with bytes and requests depends on its phase: the table is in `phase.py`. It ends as a
stream (the transport gets another protocol), or in a `LingeringProtocol` after its last answer.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from headrace import limits
from headrace.api.answers import Answer
from headrace.api.routes import CONNECT, EVENTS
from headrace.api.routing import Match
from headrace.api.streaming import StreamedAnswer
from headrace.errors import RequestError, TokenError
from headrace.protocol.http import Body, EndOfRequest, HttpConnection, Request, State
from headrace.server.connection import Connection
from headrace.server.eager import rest
from headrace.server.exchange import StreamedExchange
from headrace.server.lingering import LingeringProtocol
from headrace.server.phase import Phase, after
from headrace.server.upgrade import open_event_stream, open_websocket

if TYPE_CHECKING:
    from headrace.server.server import Server


_OPENERS = {CONNECT.path: open_websocket, EVENTS.path: open_event_stream}


class HttpProtocol(Connection):
    """One connection from its first bytes until it closes or becomes a stream.

    Bytes go into the sans-I/O `HttpConnection`; `_advance` takes its events and acts on them, one
    request at a time.
    """

    __slots__ = (
        "_body",
        "_exchange",
        "_http",
        "_match",
        "_paused",
        "_phase",
        "_request",
        "_streak",
        "_task",
    )

    def __init__(self, server: "Server") -> None:
        super().__init__(server)
        self._http = HttpConnection()
        self._phase = Phase.READING
        self._request: Request | None = None
        self._match: Match | None = None
        self._body: list[bytes] = []
        self._task: asyncio.Task[None] | None = None  # while WORKING or EXCHANGING
        self._exchange: StreamedExchange | None = None  # while EXCHANGING
        self._paused = False  # by the transport: the peer does not read its answers
        self._streak = 0  # requests, and further pieces of bodies, since the loop had a turn

    def _go(self, phase: Phase) -> None:
        self._phase = after(self._phase, phase)

    # --- the transport's callbacks -------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        self._streak = 0
        was_idle = self._http.state is State.IDLE
        self._http.receive_data(data)
        if was_idle:  # a slow sender of a head has so long, however many pieces it comes in
            self._set_timeout(limits.HEADER_TIMEOUT_S)
        self._advance()
        if len(self._server.departures) >= limits.STORM_MIN_COUNT:  # the tick's end may be far
            self._server.hub.flush()

    def eof_received(self) -> bool:
        """Note the end of the peer's side; what it asked before is still answered."""
        self._http.receive_data(b"")
        self._advance()
        if self._match is not None and self._match.route.waits:  # it is gone, not waiting
            return False
        # TLS has no half an end.
        return self._transport.can_write_eof() and self._phase is not Phase.OVER

    def pause_writing(self) -> None:
        """Take no further request while the peer does not read its answers."""
        self._paused = True
        self._set_timeout(self._server.settings.write_timeout_s)
        if self._exchange is not None:
            self._exchange.pause_writing()
        else:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on with what the peer has asked in the meantime."""
        self._paused = False
        if self._exchange is not None:
            self._exchange.resume_writing()
            self._set_timeout(limits.BODY_TIMEOUT_S)
            self._advance()
        elif self._phase is Phase.READING:
            self._transport.resume_reading()
            self._set_timeout(limits.KEEP_ALIVE_S)
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a handler that still works ends by itself, unheard."""
        if self._exchange is not None:
            self._exchange.body.end(RequestError(400, "the client went before its body's end"))
            self._exchange.resume_writing()
        elif self._task is not None and self._match is not None and self._match.route.waits:
            self._task.cancel()
        self._go(Phase.OVER)
        super().connection_lost(exc)

    def shut_down(self) -> None:
        """Close if idle; a request that has begun is answered first, and the answer is the last."""
        if self._http.state is State.IDLE:
            self._transport.close()

    # --- requests ------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Act on the events that are there, until bytes, a handler or the peer are awaited."""
        while self._may_take():
            if self._had_its_turn():
                self._go(Phase.YIELDING)
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
                    self._feed(self._exchange, event)
                elif isinstance(event, Body):
                    self._keep(event.data)
                else:
                    self._run()
            except (RequestError, TokenError) as error:
                if self._exchange is not None:
                    self._exchange.body.end(RequestError(400, str(error)))
                    return
                self._respond(self._server.dispatcher.refuse(self._request, error))
        if self._http.should_close and self._phase is Phase.READING:
            self._finish()

    def _may_take(self) -> bool:
        """Whether the next event has its turn: one request at a time, and none for the deaf."""
        if self._phase is Phase.READING:
            return not self._paused
        return self._phase is Phase.EXCHANGING

    def _had_its_turn(self) -> bool:
        """Whether what is left of a read has to wait until others were served, refusals too."""
        if self._phase is Phase.EXCHANGING or self._http.state is State.IDLE:
            return False
        return self._streak >= limits.REQUESTS_PER_TICK

    def _take_turn(self) -> None:
        """Go on with what is left of a read."""
        if self._phase is not Phase.YIELDING or self._transport.is_closing():
            return
        self._go(Phase.READING)
        self._streak = 0
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
        self._set_timeout(limits.BODY_TIMEOUT_S)
        if found.route.streams:
            self._go(Phase.EXCHANGING)
            self._http.body_max_bytes = None
            exchange = StreamedExchange(self._server, self._transport, self._http)
            self._exchange = exchange
            self._task = self._server.loop.create_task(self._answer_by(exchange, found, request))
        proceed = self._http.send_continue()
        if proceed:
            self._transport.write(proceed)

    def _feed(self, exchange: StreamedExchange, event: Body | EndOfRequest) -> None:
        """Pass a piece of a streamed body on; a client has so long for each piece."""
        if isinstance(event, Body):
            exchange.body.feed(event.data)
            self._set_timeout(limits.BODY_TIMEOUT_S)
        else:
            exchange.body.end()
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
            self._go(Phase.OVER)
            self._server.forget(self)
        else:
            self._answer(match, request)

    def _answer(self, match: Match, request: Request) -> None:
        """Have the handler answer: at once, or in a task if it waits."""
        route = match.route
        work = self._server.dispatcher.answer(match, request, b"".join(self._body))
        if not (route.waits or route.asks):
            try:
                awaited = work.send(None)
            except StopIteration as done:
                self._respond(done.value)
                return
            work = rest(work, awaited)
        self._go(Phase.WORKING)
        self._task = self._server.loop.create_task(self._answer_later(work))
        if not route.waits:  # whoever waits must see the client go
            self._transport.pause_reading()

    async def _answer_later(self, work: Coroutine[Any, Any, Answer | StreamedAnswer]) -> None:
        answer = await work
        assert isinstance(answer, Answer)
        if self._transport.is_closing():
            return
        self._go(Phase.READING)
        self._task = None
        self._streak = 0
        self._respond(answer)
        if self._phase is Phase.READING and not self._paused:
            self._transport.resume_reading()
            self._advance()

    async def _answer_by(self, exchange: StreamedExchange, match: Match, request: Request) -> None:
        answer = await exchange.run(match, request)
        if self._transport.is_closing():
            return
        self._go(Phase.READING)
        self._task = self._exchange = None
        if answer is not None:
            self._respond(answer)
        else:
            self._go_on()
        self._advance()

    def _respond(self, answer: Answer, *, close: bool = False) -> None:
        """Write an answer, and wait for the next request or close."""
        close = close or self._server.draining
        headers = (self._server.date, *answer.headers)
        data = self._http.respond(answer.status, headers, answer.body, close=close)
        self._transport.write(data)
        self._go_on()

    def _go_on(self) -> None:
        """Wait for the next request, or close, after an answer."""
        self._request = self._match = None
        self._body = []
        if self._http.should_close or self._server.draining:
            self._finish()
        elif not self._paused:
            self._set_timeout(limits.KEEP_ALIVE_S)

    def _finish(self) -> None:
        """Leave the connection to the peer's reading of the last answer."""
        self._go(Phase.OVER)
        if not self._transport.is_closing():
            lingering = LingeringProtocol(self._server)
            self.hand_over(lingering)
            lingering.begin(peer_ended=self._http.peer_ended, paused=self._paused)

    def on_deadline(self, now: float) -> None:
        """Answer 408 to a request that takes too long; close what is idle; cut what hangs."""
        if self._phase in (Phase.EXCHANGING, Phase.OVER):
            self._transport.abort()
        elif self._http.in_request:
            what = "head" if self._http.state is State.HEAD else "body"
            error = RequestError(408, f"the request's {what} took too long to arrive")
            self._respond(self._server.dispatcher.refuse(self._request, error), close=True)
        elif self._transport.get_write_buffer_size():  # it does not read its answers
            self._transport.abort()
        else:
            self._transport.close()
