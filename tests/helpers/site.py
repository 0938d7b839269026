"""A server in this process, the requests of its application, and WebSocket clients."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jwt
import msgspec
from websockets.asyncio import client as websockets
from websockets.typing import Subprotocol

from headrace import Application, Hub, Server, Settings
from headrace.hub.core import HubCore
from headrace.server.connections.connection import Connection
from headrace.server.context import ServerContext

SECRET = "a secret of the tests, 32 bytes+"
API_KEY = "the-key-of-the-tests-application"
V1 = "headrace.v1"

Json = dict[str, Any]


class Site:
    """A running server and its application.

    `url` and `ws_url` are the server's base URLs, `http` is the application's HTTP client.
    """

    def __init__(self, url: str, http: aiohttp.ClientSession, server: Server | None = None) -> None:
        self.url = url
        self.ws_url = url.replace("http", "ws", 1)
        self.port = int(url.rpartition(":")[2])
        self.http = http
        self._server = server

    @property
    def server(self) -> Server:
        """The server, if it runs in this process."""
        assert self._server is not None
        return self._server

    @property
    def context(self) -> ServerContext:
        """What the server's connections share, if it runs in this process."""
        return self.server.context

    @property
    def core(self) -> HubCore:
        """The core of the server's hub, if it runs in this process."""
        return self.server.hub.core

    async def wait_for_connections(self, at_most: int = 0) -> None:
        """Wait until the server has no more than `at_most` connections."""
        while len(self.context.connections) > at_most:
            self.context.connection_closed.clear()
            await self.context.connection_closed.wait()

    def largest_write_buffer(self) -> int:
        """Return the most bytes that the transport of a connection has buffered."""
        sizes = []
        for connection in self.context.connections:
            assert isinstance(connection, Connection)
            sizes.append(connection._transport.get_write_buffer_size())
        return max(sizes)

    async def post(
        self, path: str, body: object, *, key: str | None = API_KEY
    ) -> tuple[int, Json, Mapping[str, str]]:
        """Return the status, the JSON and the headers of the response."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        async with self.http.post(self.url + path, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None), response.headers

    async def channel(self, client_id: str = "alice", **fields: object) -> str:
        """Create a channel and return its token."""
        status, channel, _ = await self.post("/v1/channels", {"client_id": client_id, **fields})
        assert status == 200, channel
        token: str = channel["token"]
        return token

    async def send(self, data: str, **target: object) -> Json:
        """Send to `target`, or to "alice" without one; return the `id` and the `sessions`."""
        status, receipt, _ = await self.post("/v1/send", {"data": data, **(target or ALICE)})
        assert status == 200, receipt
        assert set(receipt) == {"id", "sessions"}
        return receipt

    async def stats(self) -> Json:
        """Return `GET /v1/stats`."""
        headers = {"authorization": f"Bearer {API_KEY}"}
        async with self.http.get(self.url + "/v1/stats", headers=headers) as response:
            assert response.status == 200
            stats: Json = await response.json()
            return stats

    def connect(self, token: str, query: str = "", **options: Any) -> websockets.connect:
        """Return a `headrace.v1` client; use it with `async with`."""
        return websockets.connect(
            f"{self.ws_url}/v1/connect{query}",
            subprotocols=[Subprotocol(V1), Subprotocol(f"headrace.token.{token}")],
            proxy=None,
            max_size=None,
            **options,
        )

    def connect_bare(self, token: str, **options: Any) -> websockets.connect:
        """Return a client without the subprotocol."""
        url = f"{self.ws_url}/v1/connect?token={token}"
        return websockets.connect(url, proxy=None, max_size=None, **options)


ALICE = {"to": "alice"}


@asynccontextmanager
async def open_site(application: Application | None = None, **settings: Any) -> AsyncIterator[Site]:
    """Run a server in this process."""
    defaults: Json = {"port": 0, "secrets": (SECRET,), "api_key": API_KEY, "drain_s": 0}
    hub = Hub(Settings(**{**defaults, **settings}), application)
    async with hub, Server(hub) as server, aiohttp.ClientSession() as http:
        yield Site(server.url, http, server)


def mint(client_id: str = "alice", *, secret: str = SECRET, **claims: object) -> str:
    """Return a token made by PyJWT; it expires in two hours unless `exp` is given."""
    return jwt.encode({"sub": client_id, "exp": time.time() + 7200, **claims}, secret)


async def recv(client: websockets.ClientConnection) -> Json:
    """Return the next frame of a `headrace.v1` client."""
    frame = await client.recv()
    assert isinstance(frame, str)
    decoded: Json = msgspec.json.decode(frame)
    return decoded


async def opened(client: websockets.ClientConnection) -> Json:
    """Return the first frame, which must be an `open`."""
    frame = await recv(client)
    assert frame["type"] == "open"
    return frame


async def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program and return its output as text."""
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, timeout=60
    )
