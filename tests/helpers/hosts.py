"""A hub inside the web server of another project: uvicorn with Starlette or alone, or aiohttp."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvicorn
from aiohttp import web
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.helpers.site import API_KEY, SECRET, V1, Json
from websockets.asyncio import client as websockets
from websockets.typing import Subprotocol

from headrace import Application, Claims, Hub, Position, Session, Settings, Sink
from headrace.adapters.aiohttp import add_routes
from headrace.adapters.asgi import AsgiApp, asgi_app


class Host:
    """A running host. `url` is that of the hub's routes; `stop` stops the host at once."""

    def __init__(self, hub: Hub, url: str, stop: Callable[[], None]) -> None:
        self.hub = hub
        self.url = url
        self.ws_url = url.replace("http", "ws", 1)
        self.stop = stop
        self._changed = asyncio.Event()
        self._attach, self._detach = hub.core.attach, hub.core.detach
        hub.core.attach = self._note_attach  # type: ignore[method-assign]  # a spy
        hub.core.detach = self._note_detach  # type: ignore[method-assign]  # a spy

    def token(self, client_id: str = "alice", **fields: Any) -> str:
        return self.hub.create_channel(client_id, **fields).token

    def connect(self, token: str, query: str = "", **options: Any) -> websockets.connect:
        """Return a `headrace.v1` client; use it with `async with`."""
        return websockets.connect(
            f"{self.ws_url}/v1/connect{query}",
            subprotocols=[Subprotocol(V1), Subprotocol(f"headrace.token.{token}")],
            proxy=None,
            max_size=None,
            compression=None,  # the data of the tests would fit any buffer
            **options,
        )

    async def wait_for_sessions(self, count: int) -> None:
        """Wait until the hub has `count` sessions."""
        async with asyncio.timeout(10):
            while len(self.hub.core.sessions) != count:
                self._changed.clear()
                await self._changed.wait()

    def _note_attach(
        self,
        claims: Claims,
        sink: Sink,
        last_id: Position | None = None,
        since: Position | None = None,
    ) -> Session:
        session = self._attach(claims, sink, last_id, since)
        self._changed.set()
        return session

    def _note_detach(self, session: Session, left_off: Position | None = None) -> None:
        self._detach(session, left_off)
        self._changed.set()


HostFactory = Callable[..., AbstractAsyncContextManager[Host]]
StartHost = Callable[..., Awaitable[Host]]


@asynccontextmanager
async def uvicorn_host(app: AsgiApp | Starlette, hub: Hub, prefix: str) -> AsyncIterator[Host]:
    """Serve an ASGI application with uvicorn, in this event loop."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=128)
    config = uvicorn.Config(
        app, lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=5
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([sock]))
    try:
        await asyncio.wait(
            (serving, asyncio.ensure_future(server.ready.wait())),
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert server.started, "the host failed to start"

        def stop() -> None:
            server.should_exit = True

        yield Host(hub, f"http://127.0.0.1:{sock.getsockname()[1]}{prefix}", stop)
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """A server that tells when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def asgi_host(hub: Hub, **options: Any) -> AbstractAsyncContextManager[Host]:
    """Serve the adapter as the root application; it starts and closes the hub."""
    return uvicorn_host(asgi_app(hub, **options), hub, "")


def starlette_host(hub: Hub, **options: Any) -> AbstractAsyncContextManager[Host]:
    """Serve the adapter in a Starlette application, which starts and closes the hub."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with hub:
            yield

    app = Starlette(routes=[Mount("/a b/push", app=asgi_app(hub, **options))], lifespan=lifespan)
    return uvicorn_host(app, hub, "/a%20b/push")


@asynccontextmanager
async def aiohttp_host(hub: Hub, **options: Any) -> AsyncIterator[Host]:
    """Serve the adapter in an aiohttp application; it starts and closes the hub."""
    app = web.Application()
    add_routes(app, hub, "/push", **options)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stopping: list[asyncio.Task[None]] = []

    def stop() -> None:
        stopping.append(asyncio.create_task(runner.cleanup()))

    try:
        yield Host(hub, f"http://127.0.0.1:{runner.addresses[0][1]}/push", stop)
    finally:
        if not stopping:
            stop()
        await asyncio.gather(*stopping)


HOSTS: dict[str, HostFactory] = {
    "asgi": asgi_host,
    "starlette": starlette_host,
    "aiohttp": aiohttp_host,
}


def hub_for_host(application: Application | None = None, **settings: Any) -> Hub:
    """Return a hub that the host will start."""
    defaults = {"secrets": (SECRET,), "api_key": API_KEY, "drain_s": 0, "presence_grace_s": 0.05}
    return Hub(Settings(**{**defaults, **settings}), application)


@asynccontextmanager
async def host_starter(
    factory: HostFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StartHost]:
    """Yield a function that starts a host with a new hub; the hosts stop at the end.

    Its arguments are an application, or none, `options` of the adapter, and settings.
    """
    monkeypatch.setattr("headrace.api.hub.EXPIRE_INTERVAL_S", 0.02)
    monkeypatch.setattr("headrace.adapters.aiohttp.DISCONNECT_CHECK_S", 0.05)
    async with AsyncExitStack() as stack:

        async def start(
            application: Application | None = None, *, options: Json | None = None, **settings: Any
        ) -> Host:
            host = factory(hub_for_host(application, **settings), **(options or {}))
            return await stack.enter_async_context(host)

        yield start


async def events_of(response: aiohttp.ClientResponse, count: int) -> list[dict[str, str]]:
    """Return the next `count` events of an event stream, as their fields."""
    events: list[dict[str, str]] = []
    event: dict[str, str] = {}
    while len(events) < count:
        line = (await response.content.readline()).decode()
        assert line, f"the stream ended after {events}"
        name, _, value = line.rstrip("\n").partition(": ")
        if name:
            event[name] = f"{event[name]}\n{value}" if name in event else value
        elif "data" in event:
            events.append(event)
            event = {}
    return events
