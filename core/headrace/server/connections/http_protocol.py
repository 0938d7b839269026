"""HTTP on the event loop: a connection that answers requests, one after the other.

Bytes go into the sans-I/O `HttpConnection`; `_advance` takes its events and acts on them. What it
may do depends on the phase: the table is in `http_phases.py`. The connection ends as a stream (the
transport gets another protocol), or as a `LingeringProtocol` after its last response.
"""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, Final

from headrace.api.body_stream import StreamedResponse
from headrace.api.responses import REPORTED_ERRORS, Response
from headrace.api.router import Match
from headrace.api.routes.streams import CONNECT, EVENTS
from headrace.errors import RequestError, UnavailableError
from headrace.hub.lifecycle import LifeState
from headrace.protocol.http.body import check_length
from headrace.protocol.http.connection import HttpConnection
from headrace.protocol.http.events import Body, EndOfRequest, RequestHead
from headrace.protocol.http.states import HttpState
from headrace.server.connections.connection import Connection
from headrace.server.connections.http_phases import HttpPhase, next_phase
from headrace.server.connections.lingering_protocol import LingeringProtocol
from headrace.server.connections.run_eagerly import continue_in_task
from headrace.server.connections.streamed_exchange import StreamedExchange
from headrace.server.connections.upgrade import open_event_stream, open_websocket
from headrace.server.context import ServerContext
from headrace.server.memory_budget import COUNTED_MIN_BYTES, Owner
from headrace.server.timers import UNSET

HEADER_TIMEOUT_S: Final = 10.0
"""From accepting a connection, or the first byte of a request, to the end of its head."""

BODY_TIMEOUT_S: Final = 30.0
"""From the end of a head to the end of a body that is kept whole; for a stream, between pieces."""

KEEP_ALIVE_S: Final = 75.0
"""How long an idle connection stays open, as in nginx; the longest of these timeouts."""

REQUESTS_PER_TURN: Final = 16
"""Pipelined requests of one connection that are answered before others have a turn."""

LOSS_BURST_MIN_COUNT: Final = 64
"""With so many lost sessions to remove, a request's messages are delivered at once."""

_UPGRADES: Final = {CONNECT.path: open_websocket, EVENTS.path: open_event_stream}


class HttpProtocol(Connection):
    """One connection from its first byte until it closes or becomes a stream."""

    __slots__ = (
        "_body",
        "_deadline",
        "_exchange",
        "_head",
        "_http",
        "_is_paused",
        "_match",
        "_owner",
        "_phase",
        "_requests",
        "_task",
    )

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self._http = HttpConnection()
        self._phase = HttpPhase.WAITING
        self._head: RequestHead | None = None
        self._match: Match | None = None
        self._body = bytearray()  # one buffer: a piece can be a single byte
        self._owner: Owner | None = None  # of the request, once memory is counted for it
        self._task: asyncio.Task[None] | None = None  # while RESPONDING or STREAMING
        self._exchange: StreamedExchange | None = None  # while STREAMING
        self._is_paused = False  # the peer does not read its responses
        self._requests = 0  # and further pieces of bodies, since the event loop had a turn
        self._deadline = math.inf

    def _go(self, phase: HttpPhase) -> None:
        self._phase = next_phase(self._phase, phase)

    # --- the transport's callbacks -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        super().connection_made(transport)
        self._context.admit(self)
        self._set_timeout(HEADER_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request. The first bytes of a connection wait for its turn."""
        http = self._http
        was_idle = http.state is HttpState.IDLE
        http.receive_data(data)
        if self._context.reserved:
            self._context.note_activity(self)
        if self._phase is HttpPhase.WAITING:
            if was_idle:
                self._context.tick_budget.submit(self._take_turn)
            else:  # a head's worth of bytes has arrived; the rest can wait in the kernel
                self._transport.pause_reading()
            return
        if self._phase is HttpPhase.RESPONDING:
            self._hold(http.buffered_bytes)
        self._requests = 0
        self._advance()
        if http.state is HttpState.HEAD and (was_idle or self._requests):
            self._set_timeout(HEADER_TIMEOUT_S)  # from the first byte of a head, however it is cut
        context = self._context
        if len(context.cleanup_queue.waiting) >= LOSS_BURST_MIN_COUNT:
            context.core.flush()  # the end of this tick may be far away

    def eof_received(self) -> bool:
        """Handle the end of the peer's side; earlier requests are still answered."""
        if self._phase is HttpPhase.WAITING and self._http.state is HttpState.IDLE:
            return False  # nothing was asked
        self._http.receive_data(b"")
        self._advance()
        return self._stays_half_open()

    def _stays_half_open(self) -> bool:
        """Return whether to keep our side open after the peer has ended its own."""
        if self._match is not None and self._match.route.cancel_on_disconnect:
            return False  # the peer is gone and does not wait for the response
        # TLS has no half-closed connections.
        return self._transport.can_write_eof() and self._phase is not HttpPhase.DONE

    def pause_writing(self) -> None:
        """Take no new request while writing is paused."""
        self._is_paused = True
        self._set_timeout(self._context.settings.write_timeout_s)
        self._hold(self._transport.get_write_buffer_size() + self._http.buffered_bytes)
        if self._exchange is not None:
            self._exchange.pause_writing()
        else:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Continue with the requests that have arrived in the meantime."""
        self._is_paused = False
        self._context.memory.release(self)
        if self._exchange is not None:
            self._exchange.resume_writing()
            self._set_timeout(BODY_TIMEOUT_S)
            self._advance()
        elif self._phase is HttpPhase.READING:
            self._transport.resume_reading()
            self._set_timeout(KEEP_ALIVE_S)
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up. A handler that waits for an event is cancelled, others finish by themselves."""
        if self._exchange is not None:
            self._exchange.body.end(RequestError(400, "the client disconnected within the body"))
            self._exchange.resume_writing()
        elif (
            self._task is not None
            and self._match is not None
            and self._match.route.cancel_on_disconnect
        ):
            self._task.cancel()
        self._task = None  # a cancelled task refers to this object by its traceback
        self._go(HttpPhase.DONE)
        super().connection_lost(exc)

    def shut_down(self) -> None:
        """Close if idle; otherwise the response to the current request is the last one."""
        if self._http.state is HttpState.IDLE:
            self._transport.close()

    # --- taking requests -----------------------------------------------------------------------

    def _advance(self) -> None:
        """Handle events until more bytes, a handler, or the peer's reading must be awaited."""
        http = self._http
        while (self._phase is HttpPhase.READING and not self._is_paused) or (
            self._phase is HttpPhase.STREAMING
        ):
            if self._requests >= REQUESTS_PER_TURN and self._must_wait():
                break
            try:
                event = http.next_event()
                if event is None:
                    break
                if isinstance(event, RequestHead):
                    self._requests += 1
                    self._begin(event)
                elif self._exchange is not None:
                    self._feed(self._exchange, event)
                elif isinstance(event, Body):
                    self._keep(event.data)
                elif self._match is not None:  # else it was refused by its head
                    self._run(bytes(self._body))
            except REPORTED_ERRORS as error:
                if self._exchange is not None:
                    if not isinstance(error, RequestError):
                        error = RequestError(400, str(error))
                    self._exchange.body.end(error)
                    return
                self._respond(self._context.dispatcher.refuse(self._head, error))
        if self._phase is HttpPhase.READING and http.should_close:
            self._finish()

    def _must_wait(self) -> bool:
        """Wait for the next turn if there is more to do than this one has room for."""
        if self._phase is HttpPhase.STREAMING or self._http.state is HttpState.IDLE:
            return False
        self._go(HttpPhase.WAITING)
        self._transport.pause_reading()
        self._context.tick_budget.defer(self._take_turn)
        return True

    def _take_turn(self) -> None:
        """Handle what has been received so far."""
        if self._phase is not HttpPhase.WAITING or self._transport.is_closing():
            return
        self._go(HttpPhase.READING)
        self._requests = 0
        if not self._is_paused and not self._transport.is_reading():
            self._transport.resume_reading()
        self._advance()
        if self._http.peer_ended and not self._transport.is_closing():
            self._close_half_open()

    def _close_half_open(self) -> None:
        """Do what `eof_received` would have done if the end had come after this turn."""
        protocol = self._transport.get_protocol()
        assert isinstance(protocol, Connection)
        stays = self._stays_half_open() if protocol is self else protocol.eof_received()
        if not stays:
            self._transport.close()

    def _begin(self, head: RequestHead) -> None:
        """Find the route; a refusal comes before the body is asked for."""
        self._head = head
        self._match = None
        self._owner = None
        context = self._context
        found = context.dispatcher.begin(head)
        if isinstance(found, Response):
            self._respond(found)
            return
        self._match = found
        if context.reserved:
            context.check_reserved(self, found.route)
        if context.memory.full_owners and found.route.access != "application":
            context.memory.check(self._owner_of_request())
        if found.route.body is not None:
            self._limit_body(context.dispatcher.body_max_bytes(found.route), head)
        if found.route.stream_body:
            self._stream(found, head)
        elif head.body is not None:
            self._run(head.body)
        else:
            self._body.clear()
        if head.body is None:
            self._set_timeout(BODY_TIMEOUT_S)
            proceed = self._http.send_continue()
            if proceed:
                self._transport.write(proceed)

    def _keep(self, data: bytes) -> None:
        """Keep a piece of the body, if the route has a use for it."""
        self._requests += bool(self._body)  # the first piece counts as the request
        if self._match is not None and self._match.route.body is not None:
            self._body += data
            self._hold(len(self._body))
            if self._context.memory.full_owners:
                self._context.memory.check(self._owner_of_request())

    def _limit_body(self, max_bytes: int, head: RequestHead) -> None:
        """Refuse a body over the route's limit, before it is read if it has not arrived yet."""
        if head.body is None:
            self._http.body_max_bytes = max_bytes
        elif len(head.body) > max_bytes:
            check_length(len(head.body), max_bytes)

    # --- memory --------------------------------------------------------------------------------

    def _hold(self, size_bytes: int) -> None:
        """Count what the connection holds for its peer: a body, or an unread response."""
        match = self._match
        if size_bytes < COUNTED_MIN_BYTES or (
            match is not None and match.route.access == "application"
        ):
            return
        self._context.memory.hold(self, self._owner_of_request(), size_bytes)

    def _owner_of_request(self) -> Owner:
        """Return the client of the current request, or the peer's address without a token."""
        if self._owner is None:
            client_id = None
            if self._head is not None and self._match is not None:
                client_id = self._context.dispatcher.client_id_of(self._match.route, self._head)
            self._owner = Owner(client_id, "" if client_id else self._peer_address())
        return self._owner

    # --- responding ----------------------------------------------------------------------------

    def _run(self, body: bytes) -> None:
        """Respond to the whole request: at once, or in a task if the handler waits."""
        head, match = self._head, self._match
        assert head is not None
        assert match is not None
        self._body.clear()
        context, route = self._context, match.route
        if route.handler is None:
            context.hub.check_accepting()
            _UPGRADES[route.path](context, self._transport, self._http, head)
            self._go(HttpPhase.DONE)
            context.remove(self)
            return
        work = context.dispatcher.respond(match, head, body)
        if not (route.cancel_on_disconnect or route.run_in_task):
            try:
                awaited = work.send(None)
            except StopIteration as finished:
                self._respond(finished.value)
                return
            work = continue_in_task(work, awaited)
        self._go(HttpPhase.RESPONDING)
        self._deadline = math.inf
        self._hold(len(body))  # the handler may keep it, and wait long for the application
        self._task = context.spawn(self._respond_later(work))
        if not route.cancel_on_disconnect:  # for that route, reading shows a disconnect
            self._transport.pause_reading()

    async def _respond_later(self, work: Coroutine[Any, Any, Response | StreamedResponse]) -> None:
        try:
            response = await work
            assert isinstance(response, Response)
        except Exception:  # re-raised: the connection must not stay open without a response
            self._transport.abort()
            raise
        if self._transport.is_closing():
            return
        self._go(HttpPhase.READING)
        self._task = None
        self._requests = 0
        self._respond(response)
        if self._phase is HttpPhase.READING and not self._is_paused:
            self._transport.resume_reading()
            self._advance()

    def _stream(self, match: Match, head: RequestHead) -> None:
        """Start a handler that reads the body, and writes its response, in pieces."""
        self._go(HttpPhase.STREAMING)
        self._http.body_max_bytes = None
        self._exchange = exchange = StreamedExchange(self._context, self._transport, self._http)
        if head.body is not None:  # the whole body has arrived
            if head.body:
                exchange.body.feed(head.body)
            exchange.body.end()
            self._deadline = math.inf
        self._task = self._context.spawn(self._run_exchange(exchange, match, head))

    async def _run_exchange(
        self, exchange: StreamedExchange, match: Match, head: RequestHead
    ) -> None:
        try:
            response = await exchange.run(match, head)
        except Exception:  # re-raised: the connection must not stay open without a response
            self._transport.abort()
            raise
        if self._transport.is_closing():
            return
        self._go(HttpPhase.READING)
        self._task = self._exchange = None
        if response is not None:
            self._respond(response)
        else:
            self._end_request()
        self._advance()

    def _feed(self, exchange: StreamedExchange, event: Body | EndOfRequest) -> None:
        if isinstance(event, Body):
            exchange.body.feed(event.data)
            self._set_timeout(BODY_TIMEOUT_S)
        else:
            exchange.body.end()
            self._deadline = math.inf

    def _respond(self, response: Response, *, close: bool = False) -> None:
        """Write a response, then wait for the next request or close."""
        context = self._context
        if not self._is_paused and self in context.memory.held:
            context.memory.release(self)  # the body; `pause_writing` counts the response
        self._transport.write(
            self._http.respond(
                response.status,
                (*context.headers, *response.headers),
                response.body,
                close=close or self._must_close(),
            )
        )
        self._end_request()

    def _must_close(self) -> bool:
        """Return whether this response is the last one, whatever the client asked for."""
        context = self._context
        return context.hub.life.state is not LifeState.SERVING or (
            bool(context.reserved) and self in context.reserved
        )

    def _end_request(self) -> None:
        """Wait for the next request, or close, after a response."""
        self._head = self._match = None
        if self._http.should_close or self._must_close():
            self._finish()
        elif not self._is_paused:
            # The latest of all deadlines: the timer may fire earlier, and is then set again.
            self._deadline = self._context.clocks.monotonic() + KEEP_ALIVE_S
            if self.tick == UNSET:
                self._context.timers.set(self, self._deadline)

    def _finish(self) -> None:
        """Leave the connection to the peer's reading of the last response."""
        self._go(HttpPhase.DONE)
        if not self._transport.is_closing():
            self._linger()

    def _linger(self) -> None:
        context = self._context
        lingering = LingeringProtocol(context)
        self._transport.set_protocol(lingering)
        lingering.connection_made(self._transport)
        if self._is_paused:
            size_bytes = self._transport.get_write_buffer_size()
            context.memory.release(self)
            context.memory.hold(lingering, self._owner_of_request(), size_bytes)
        if self in context.reserved:
            context.refuse(self, lingering)
        else:
            context.replace(self, lingering)
        if not self._transport.is_closing():
            lingering.begin(peer_ended=self._http.peer_ended, paused=self._is_paused)

    def give_way(self) -> None:
        """Give up a reserved place: refuse an incomplete request, abort a busy connection."""
        if self._phase not in (HttpPhase.READING, HttpPhase.WAITING) or self._is_paused:
            self._transport.abort()
            return
        if self._phase is HttpPhase.WAITING:
            self._go(HttpPhase.READING)
        error = UnavailableError("all connections are in use; try again later")
        self._respond(self._context.dispatcher.refuse(self._head, error), close=True)

    # --- deadlines -----------------------------------------------------------------------------

    def _set_timeout(self, seconds: float) -> None:
        self._deadline = self._context.clocks.monotonic() + seconds
        self._context.timers.set(self, self._deadline)

    def on_deadline(self, now: float) -> None:
        """Answer a slow request with 408, close an idle connection, abort a stuck one."""
        if now < self._deadline:  # it was moved since the timer was set
            if self._deadline < math.inf:
                self._context.timers.set(self, self._deadline)
        elif self._phase is HttpPhase.WAITING and self._http.state is not HttpState.IDLE:
            self._set_timeout(HEADER_TIMEOUT_S)  # the server is late, not the peer
        elif self._phase in (HttpPhase.STREAMING, HttpPhase.DONE):
            self._transport.abort()
        elif self._http.in_request:
            what = "head" if self._http.state is HttpState.HEAD else "body"
            error = RequestError(408, f"the request's {what} took too long to arrive")
            self._respond(self._context.dispatcher.refuse(self._head, error), close=True)
        elif self._transport.get_write_buffer_size():  # the peer does not read its responses
            self._transport.abort()
        else:
            self._transport.close()
