"""A hub in an application of `aiohttp.web`.

    from aiohttp import web

    from headrace import Hub, Settings
    from headrace.adapters.aiohttp import add_routes

    hub = Hub(Settings(secrets=("a secret of at least 32 bytes....",)))
    app = web.Application()
    add_routes(app, hub, prefix="/push")
    web.run_app(app)

Clients connect to `/push/v1/connect`. Stopping the application closes them with 1012. aiohttp does
not report that a client has disconnected from an event stream or a poll, so the adapter checks it
every `DISCONNECT_CHECK_S`; with `web.run_app(app, handler_cancellation=True)` it knows at once.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeAlias

from aiohttp import ClientPayloadError, WSMsgType, web
from multidict import CIMultiDict

from headrace import limits
from headrace.adapters.hosted_api import HostedApi
from headrace.adapters.stream import CLOSE_TIMEOUT_S, frame_texts
from headrace.api.body_stream import StreamedResponse
from headrace.api.credentials import SUBPROTOCOL
from headrace.api.hub import Hub
from headrace.api.responses import Headers, Response
from headrace.api.routes.streams import CONNECT
from headrace.api.stream_requests import StreamRequest, retry_field
from headrace.messages.message import ControlMessage, Encodable, Encoding
from headrace.protocol.http.events import RequestHead

DISCONNECT_CHECK_S: Final = 2.0
"""How often the connections of event streams and polls are checked."""

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes(
    app: web.Application,
    hub: Hub,
    prefix: str = "",
    *,
    application_routes: bool = False,
    demo: bool = False,
) -> None:
    """Add the routes for a hub's clients to an application, below `prefix`.

    `application_routes` adds the routes for the application, which need the API key; `demo` adds
    the chat room at `/`. A hub that is new when the application starts is started and closed with
    it. Raises ConfigError if a setting cannot be used.

        add_routes(app, Hub(Settings(secrets=(secret,), api_key=key)), application_routes=True)
    """
    api = HostedApi(hub, application_routes=application_routes, demo=demo)
    for path in dict.fromkeys(route.path for route in api.routes):
        app.router.add_route("*", prefix + path, _handler_of(api, path))

    async def drain(_app: web.Application) -> None:
        await hub.drain()

    async def run_hub(_app: web.Application) -> AsyncIterator[None]:
        is_ours = await api.start_new_hub()
        yield
        if is_ours:
            await hub.close()

    app.on_shutdown.append(drain)  # before aiohttp waits for its connections
    app.cleanup_ctx.append(run_hub)


def _handler_of(api: HostedApi, path: str) -> _Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        head = _request_head(request, path)
        if path == CONNECT.path and request.headers.get("upgrade", "").lower() == "websocket":
            return await _serve_websocket(api, request, head)
        return await _serve_http(api, request, head)

    return handler


# --- HTTP --------------------------------------------------------------------------------------


async def _serve_http(
    api: HostedApi, request: web.Request, head: RequestHead
) -> web.StreamResponse:
    found = api.begin(head)
    if isinstance(found, Response):
        return _response(found)
    if found.route.handler is None:
        asked = api.begin_stream(found, head)
        if isinstance(asked, Response):
            return _response(asked)
        return await _serve_events(api, request, head, asked)
    chunks = _body(request)
    async with aclosing(chunks):
        response = await api.respond(found, head, chunks, lambda: _disconnected(request))
        if isinstance(response, Response):
            return _response(response)
        return await _write_pieces(request, response)


async def _serve_events(
    api: HostedApi, request: web.Request, head: RequestHead, asked: StreamRequest
) -> web.StreamResponse:
    response = web.StreamResponse(headers=CIMultiDict(api.event_stream_headers(head)))
    await response.prepare(request)
    if head.method != "HEAD":
        await response.write(retry_field())
        await api.run_stream(_EventStream(request, response), asked)
    return response


def _response(response: Response) -> web.Response:
    return web.Response(
        status=response.status, headers=CIMultiDict(response.headers), body=response.body
    )


async def _write_pieces(request: web.Request, response: StreamedResponse) -> web.StreamResponse:
    written = web.StreamResponse(status=response.status, headers=CIMultiDict(response.headers))
    await written.prepare(request)
    try:
        async for piece in response.pieces:
            await written.write(piece)
    except ConnectionResetError:
        _abort(request)  # an incomplete response must not look complete
    return written


async def _body(request: web.Request) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except ClientPayloadError as error:
        raise ConnectionResetError(str(error)) from None


async def _disconnected(request: web.Request) -> None:
    # aiohttp has no public event for a disconnect, so this polls.
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - see above
        await asyncio.sleep(DISCONNECT_CHECK_S)


def _abort(request: web.Request) -> None:
    transport = request.transport
    if isinstance(transport, asyncio.Transport):
        transport.abort()


class _EventStream:
    """The `StreamTransport` of `GET /v1/events`."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response

    async def read(self) -> None:
        await _disconnected(self._request)

    async def write(self, what: Encodable) -> None:
        await self._response.write(what.encode(Encoding.SSE))

    async def close(self, code: int, reason: str) -> None:
        await self.write(ControlMessage({"type": "close", "code": code, "reason": reason}))
        await self._response.write_eof()

    def abort(self) -> None:
        _abort(self._request)


# --- WebSocket ---------------------------------------------------------------------------------


async def _serve_websocket(
    api: HostedApi, request: web.Request, head: RequestHead
) -> web.StreamResponse:
    asked = api.begin_websocket(head)
    if isinstance(asked, Response):
        return _response(asked)
    is_v1 = asked.encoding is Encoding.V1
    websocket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,) if is_v1 else (),
        heartbeat=api.hub.settings.ping_interval_s,
        timeout=CLOSE_TIMEOUT_S,
        max_msg_size=limits.CLIENT_FRAME_MAX_BYTES + 1,  # our own check is exact
        compress=False,
    )
    handshake = request
    if not is_v1 and "sec-websocket-protocol" in request.headers:
        # aiohttp logs a header without a subprotocol that it knows, and this one holds the token.
        headers = request.headers.copy()
        del headers["sec-websocket-protocol"]
        handshake = request.clone(headers=headers)
    await websocket.prepare(handshake)
    await api.run_stream(_WebSocket(request, websocket, asked.encoding), asked)
    return websocket


class _WebSocket:
    """The `StreamTransport` of `GET /v1/connect`."""

    def __init__(
        self, request: web.Request, websocket: web.WebSocketResponse, encoding: Encoding
    ) -> None:
        self._request = request
        self._websocket = websocket
        self._encoding = encoding

    async def read(self) -> str | bytes | None:
        message = await self._websocket.receive()
        if message.type is WSMsgType.TEXT:
            text: str = message.data
            return text
        if message.type is WSMsgType.BINARY:
            data: bytes = message.data
            return data
        return None  # closed, by the client or by aiohttp

    async def write(self, what: Encodable) -> None:
        for text in frame_texts(what, self._encoding):
            await self._websocket.send_str(text)

    async def close(self, code: int, reason: str) -> None:
        await self._websocket.close(code=code, message=reason.encode())

    def abort(self) -> None:
        _abort(self._request)


# --- requests ----------------------------------------------------------------------------------


def _request_head(request: web.Request, path: str) -> RequestHead:
    """Return the head for a route at `path`: the prefix of the request's path is removed."""
    headers: Headers = tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in request.raw_headers
    )
    raw_path, _, query = request.raw_path.partition("?")
    segments = raw_path.split("/")[-path.count("/") :]
    below = "/" + "/".join(segments)
    target = f"{below}?{query}" if query else below
    return RequestHead.from_headers(request.method, target, below, query, headers)
