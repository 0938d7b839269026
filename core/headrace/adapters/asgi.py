"""A hub as an ASGI application, for Starlette, FastAPI and other frameworks.

Mounted under a prefix, in an application that starts the hub:

    from contextlib import asynccontextmanager
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from headrace import Hub, Settings
    from headrace.adapters.asgi import asgi_app

    hub = Hub(Settings(secrets=("a secret of at least 32 bytes....",)))

    @asynccontextmanager
    async def lifespan(app):
        async with hub:
            yield

    app = Starlette(routes=[Mount("/push", app=asgi_app(hub))], lifespan=lifespan)

Clients connect to `/push/v1/connect`. Alone, `app = asgi_app(hub)` starts and closes the hub
itself. Run either with `uvicorn module:app --timeout-graceful-shutdown 5`: when it stops, uvicorn
closes WebSockets with 1012, but waits for event streams and polls until this timeout.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

from headrace import codes
from headrace.adapters.hosted_api import HostedApi
from headrace.adapters.stream import frame_texts
from headrace.api.body_stream import StreamedResponse
from headrace.api.credentials import SUBPROTOCOL
from headrace.api.hub import Hub
from headrace.api.responses import Headers, Response
from headrace.api.stream_requests import StreamRequest, retry_field
from headrace.errors import HeadraceError
from headrace.messages.message import ControlMessage, Encodable, Encoding
from headrace.protocol.http.events import RequestHead

AsgiMessage: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[AsgiMessage]]
Send: TypeAlias = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[AsgiMessage, Receive, Send], Awaitable[None]]


def asgi_app(hub: Hub, *, application_routes: bool = False, demo: bool = False) -> AsgiApp:
    """Return an ASGI 3 application with the routes for a hub's clients.

    `application_routes` adds the routes for the application, which need the API key; `demo` adds
    the chat room at `/`. A hub that is new when the host starts is started and closed with it, if
    this is the root application. Raises ConfigError if a setting cannot be used.

        app = asgi_app(Hub(Settings(secrets=(secret,), api_key=key)), application_routes=True)
    """
    api = HostedApi(hub, application_routes=application_routes, demo=demo)

    async def app(scope: AsgiMessage, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(api, receive, send)
        elif scope["type"] == "websocket":
            await _serve_websocket(api, scope, receive, send)
        else:
            await _serve_http(api, scope, receive, send)

    return app


async def _lifespan(api: HostedApi, receive: Receive, send: Send) -> None:
    """Start and close the hub with the host; see the ASGI lifespan protocol."""
    await receive()
    try:
        is_ours = await api.start_new_hub()
    except HeadraceError as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if is_ours:
        await api.hub.close()
    await send({"type": "lifespan.shutdown.complete"})


# --- HTTP --------------------------------------------------------------------------------------


async def _serve_http(api: HostedApi, scope: AsgiMessage, receive: Receive, send: Send) -> None:
    head = _request_head(scope)
    found = api.begin(head)
    if isinstance(found, Response):
        await _send_response(send, head, found)
    elif found.route.handler is None:
        request = api.begin_stream(found, head)
        if isinstance(request, Response):
            await _send_response(send, head, request)
        else:
            await _serve_events(api, head, request, receive, send)
    else:
        body = _body(receive)
        try:
            async with aclosing(body):
                response = await api.respond(found, head, body, lambda: _disconnected(receive))
                await _send_response(send, head, response)
        except ConnectionResetError:
            return  # the client has disconnected; the host closes an incomplete response


async def _serve_events(
    api: HostedApi, head: RequestHead, request: StreamRequest, receive: Receive, send: Send
) -> None:
    await _start_response(send, 200, api.event_stream_headers(head))
    if head.method == "HEAD":
        await send({"type": "http.response.body"})
        return
    await send({"type": "http.response.body", "body": retry_field(), "more_body": True})
    await api.run_stream(_EventStream(receive, send), request)


async def _send_response(
    send: Send, head: RequestHead, response: Response | StreamedResponse, *, kind: str = "http"
) -> None:
    headers = response.headers
    if isinstance(response, Response):
        if response.status not in (204, 304):
            headers += (("content-length", str(len(response.body))),)
        await _start_response(send, response.status, headers, kind=kind)
        body = b"" if head.method == "HEAD" else response.body
        await send({"type": f"{kind}.response.body", "body": body})
        return
    await _start_response(send, response.status, headers)
    async for piece in response.pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def _start_response(send: Send, status: int, headers: Headers, *, kind: str = "http") -> None:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": f"{kind}.response.start", "status": status, "headers": encoded})


async def _body(receive: Receive) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of the request's body; raise ConnectionResetError if it is cut short."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client disconnected within the body")
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Connection:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    def abort(self) -> None:
        """Do nothing: the host closes the connection when the application returns."""


class _EventStream(_Connection):
    """The `StreamTransport` of `GET /v1/events`."""

    async def read(self) -> None:
        await _disconnected(self._receive)

    async def write(self, what: Encodable) -> None:
        body = what.encode(Encoding.SSE)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def close(self, code: int, reason: str) -> None:
        await self.write(ControlMessage({"type": "close", "code": code, "reason": reason}))
        await self._send({"type": "http.response.body"})


# --- WebSocket ---------------------------------------------------------------------------------


async def _serve_websocket(
    api: HostedApi, scope: AsgiMessage, receive: Receive, send: Send
) -> None:
    head = _request_head(scope)
    request = api.begin_websocket(head)
    await receive()  # websocket.connect
    if isinstance(request, StreamRequest):
        subprotocol = SUBPROTOCOL if request.encoding is Encoding.V1 else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        await api.run_stream(_WebSocket(receive, send, request.encoding), request)
    elif "websocket.http.response" in (scope.get("extensions") or {}):
        await _send_response(send, head, request, kind="websocket.http")
    else:  # the host answers 403
        await send({"type": "websocket.close", "code": codes.INVALID_TOKEN})


class _WebSocket(_Connection):
    """The `StreamTransport` of `GET /v1/connect`."""

    def __init__(self, receive: Receive, send: Send, encoding: Encoding) -> None:
        super().__init__(receive, send)
        self._encoding = encoding

    async def read(self) -> str | bytes | None:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text

    async def write(self, what: Encodable) -> None:
        for text in frame_texts(what, self._encoding):
            await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


def _request_head(scope: AsgiMessage) -> RequestHead:
    headers = [
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in scope["headers"]
    ]
    offered = scope.get("subprotocols")
    if offered and all(name != "sec-websocket-protocol" for name, _ in headers):
        headers.append(("sec-websocket-protocol", ", ".join(offered)))
    path = _path(scope)
    query = scope.get("query_string", b"").decode("latin-1")
    target = f"{path}?{query}" if query else path
    return RequestHead.from_headers(scope.get("method", "GET"), target, path, query, headers)


def _path(scope: AsgiMessage) -> str:
    """Return the path below the prefix, percent-encoded: `raw_path`, with fewer segments.

    `path` has the prefix `root_path` according to the ASGI specification; older hosts remove it.
    """
    decoded: str = scope["path"]
    path = (scope.get("raw_path") or b"").decode("latin-1")
    if unquote(path) != decoded:
        path = quote(decoded)
    prefix = (scope.get("root_path") or "").rstrip("/")
    if prefix and f"{decoded}/".startswith(f"{prefix}/"):
        segments = path.split("/")[prefix.count("/") + 1 :]
        return "/" + "/".join(segments)
    return path
