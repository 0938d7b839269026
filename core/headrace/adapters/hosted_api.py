"""The routes of a hub as the adapters serve them; the host server parses the requests.

begin(head) ──▶ Match, or the Response to a refused request
respond(match, head, chunks, disconnected) ──▶ the handler's response
begin_stream(match, head) ──▶ StreamRequest, or the Response to a refused one
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from headrace import limits
from headrace.adapters.stream import HostedStream, StreamTransport
from headrace.api.admin import health
from headrace.api.body_stream import BodyStream, StreamedResponse
from headrace.api.context import ApiContext
from headrace.api.dispatcher import Dispatcher
from headrace.api.hub import Hub
from headrace.api.responses import REPORTED_ERRORS, Headers, Response
from headrace.api.router import Match, Route
from headrace.api.routes import demo as demo_routes
from headrace.api.routes import poll, static_files, streams, update_messages
from headrace.api.routes.table import all_routes
from headrace.api.stream_requests import (
    EVENT_STREAM_HEADERS,
    StreamRequest,
    read_event_stream_request,
    read_websocket_request,
)
from headrace.errors import RequestError, StateError
from headrace.hub.lifecycle import LifeState
from headrace.protocol.http.events import RequestHead

_CLIENT_ROUTES = (
    streams.CONNECT,
    streams.EVENTS,
    *poll.ROUTES,
    *update_messages.ROUTES,
    *health.ROUTES,
    *static_files.ROUTES,
)


class HostedApi:
    """The routes of a hub for one adapter.

    `application_routes` adds those for the application, `/metrics` and `/openapi.json`; `demo` adds
    the chat room at `/`.
    """

    def __init__(self, hub: Hub, *, application_routes: bool, demo: bool) -> None:
        """Raise ConfigError if a setting cannot be used."""
        self.hub = hub
        self._context = ApiContext(hub, demo=demo)
        self.routes: tuple[Route, ...]
        if application_routes:
            self.routes = all_routes(self._context)
        else:
            self.routes = _CLIENT_ROUTES + (demo_routes.ROUTES if demo else ())
        self._dispatcher = Dispatcher(self._context, self.routes)
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life cycle ----------------------------------------------------------------------------

    async def start_new_hub(self) -> bool:
        """Start the hub unless the host has started it; return True if so."""
        if self.hub.life.state is not LifeState.NEW:
            return False
        await self.hub.start()
        return True

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task and keep a reference to it until it ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- requests ------------------------------------------------------------------------------

    def begin(self, head: RequestHead) -> Match | Response:
        """Return the request's route, or a response that needs no body.

        Raises StateError if the hub has not been started, or runs on another event loop.
        """
        if self.hub.loop is not asyncio.get_running_loop():
            raise StateError("the hub runs on another event loop; start it on that of the host")
        try:
            return self._dispatcher.begin(head)
        except REPORTED_ERRORS as error:
            return self._dispatcher.refuse(head, error)

    async def respond(
        self,
        match: Match,
        head: RequestHead,
        chunks: AsyncIterator[bytes],
        disconnected: Callable[[], Awaitable[None]],
    ) -> Response | StreamedResponse:
        """Run the route's handler; `chunks` is the request's body.

        `disconnected` waits until the client has disconnected: then a handler that waits for an
        event is cancelled and ConnectionResetError is raised.
        """
        route = match.route
        if route.stream_body:
            return await self._respond_in_pieces(match, head, chunks)
        try:
            body = await _read_body(head, chunks) if route.body is not None else b""
        except REPORTED_ERRORS as error:
            return self._dispatcher.refuse(head, error)
        work = self._dispatcher.respond(match, head, body)
        if not route.cancel_on_disconnect:
            return await work
        task = asyncio.create_task(work)
        gone = asyncio.ensure_future(disconnected())
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ConnectionResetError("the client disconnected")
            return task.result()
        finally:
            task.cancel()
            gone.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    async def _respond_in_pieces(
        self, match: Match, head: RequestHead, chunks: AsyncIterator[bytes]
    ) -> Response | StreamedResponse:
        may_read = asyncio.Event()
        may_read.set()
        body = BodyStream(may_read.clear, may_read.set)
        feeder = asyncio.create_task(_feed(body, chunks, may_read))
        response = await self._dispatcher.respond(match, head, body)
        if isinstance(response, Response):
            feeder.cancel()
            return response
        return response._replace(pieces=_pieces(response.pieces, feeder))

    # --- streams -------------------------------------------------------------------------------

    def begin_websocket(self, head: RequestHead) -> StreamRequest | Response:
        """Return what a WebSocket handshake asks for, or the response that refuses it."""
        found = self.begin(head)
        if isinstance(found, Response):
            return found
        try:
            if found.route is not streams.CONNECT:
                raise RequestError(404, f"there is no WebSocket at {head.path[:100]}")
            self.hub.check_accepting()
            return read_websocket_request(self._context, head)
        except REPORTED_ERRORS as error:
            return self._dispatcher.refuse(head, error)

    def begin_stream(self, match: Match, head: RequestHead) -> StreamRequest | Response:
        """Return what a request for events asks for, or the response that refuses it."""
        try:
            if match.route is streams.CONNECT:
                raise RequestError(
                    426, "this is a WebSocket; connect to it", (("upgrade", "websocket"),)
                )
            self.hub.check_accepting()
            return read_event_stream_request(self._context, head)
        except REPORTED_ERRORS as error:
            return self._dispatcher.refuse(head, error)

    def event_stream_headers(self, head: RequestHead) -> Headers:
        """Return the headers of an event stream's response."""
        return self._dispatcher.with_cors(head, Response(200, EVENT_STREAM_HEADERS)).headers

    async def run_stream(self, transport: StreamTransport, request: StreamRequest) -> None:
        """Serve a stream until it is over; the host has accepted the connection."""
        with contextlib.suppress(OSError):  # lost within the close
            await HostedStream(self.hub, transport, self.spawn).run(request)


async def _read_body(head: RequestHead, chunks: AsyncIterator[bytes]) -> bytes:
    """Return the whole body; raise RequestError (413) if it is too long."""
    length = head.fields.get("content-length", "0")
    pieces = []
    size_bytes = int(length) if length.isdecimal() else 0
    if size_bytes <= limits.BODY_MAX_BYTES:
        size_bytes = 0
        async for chunk in chunks:
            pieces.append(chunk)
            size_bytes += len(chunk)
            if size_bytes > limits.BODY_MAX_BYTES:
                break
    if size_bytes > limits.BODY_MAX_BYTES:
        raise RequestError(413, f"the body is over {limits.BODY_MAX_BYTES} bytes")
    return b"".join(pieces)


async def _feed(body: BodyStream, chunks: AsyncIterator[bytes], may_read: asyncio.Event) -> None:
    try:
        async for chunk in chunks:
            if chunk:
                body.feed(chunk)
            await may_read.wait()
    except OSError:
        body.end(RequestError(400, "the client disconnected within the body"))
    else:
        body.end()


async def _pieces(
    pieces: AsyncIterator[bytes], feeder: asyncio.Task[None]
) -> AsyncGenerator[bytes, None]:
    """Yield `pieces`, then stop reading the body.

    If the body was cut short the response is too: ConnectionResetError is raised.
    """
    assert isinstance(pieces, AsyncGenerator)
    try:
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                if piece:
                    yield piece
    except RequestError as error:
        raise ConnectionResetError(str(error)) from None
    finally:
        feeder.cancel()
