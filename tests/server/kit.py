"""What the server tests share: a server with its application, and clients that others wrote."""

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

from headrace.server import Server
from headrace.server.connection import Connection
from headrace.settings import Settings

SECRET = "a secret of the tests, 32 bytes+"
API_KEY = "the-key-of-the-tests-application"
V1 = "headrace.v1"

Json = dict[str, Any]


class Site:
    """A server, and the application that it serves.

    `port` is where it listens, `url` and `ws_url` are its base URLs, `http` is the application's
    HTTP client.
    """

    def __init__(
        self, url: str, http: aiohttp.ClientSession, server: "WatchedServer | None" = None
    ) -> None:
        self.url = url
        self.ws_url = url.replace("http", "ws", 1)
        self.port = int(url.rpartition(":")[2])
        self.http = http
        self._server = server

    @property
    def server(self) -> "WatchedServer":
        """The server itself, where it runs in this process."""
        assert self._server is not None
        return self._server

    async def connections_end(self, left: int = 0) -> None:
        """Wait until the server has no more than `left` connections."""
        while len(self.server.connections) > left:
            self.server.forgot.clear()
            await self.server.forgot.wait()

    async def post(
        self, path: str, body: object, *, key: str | None = API_KEY
    ) -> tuple[int, Json, Mapping[str, str]]:
        """Return status, JSON and headers of what the server answers."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        async with self.http.post(self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    async def channel(self, client_id: str = "alice", **fields: object) -> str:
        """Return a token that the server minted."""
        status, answer, _ = await self.post("/v1/channels", {"client_id": client_id, **fields})
        assert status == 200, answer
        token: str = answer["token"]
        return token

    async def send(self, data: str, **target: object) -> Json:
        """Send, to "alice" where no target is named; return the answer's `id` and `sessions`."""
        status, answer, _ = await self.post("/v1/send", {"data": data, **(target or ALICE)})
        assert status == 200, answer
        assert set(answer) == {"id", "sessions"}
        return answer

    async def stats(self) -> Json:
        """Return `GET /v1/stats`."""
        headers = {"authorization": f"Bearer {API_KEY}"}
        async with self.http.get(self.url + "/v1/stats", headers=headers) as answer:
            assert answer.status == 200
            stats: Json = await answer.json()
            return stats

    def connect(self, token: str, query: str = "", **options: Any) -> websockets.connect:
        """Return a `headrace.v1` client, to be entered with `async with`."""
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


class WatchedServer(Server):
    """Says when a connection has ended: `forgot` is set."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.forgot = asyncio.Event()

    def forget(self, connection: Connection) -> None:
        super().forget(connection)
        self.forgot.set()


@asynccontextmanager
async def open_site(**settings: Any) -> AsyncIterator[Site]:
    """Run a server in this process."""
    defaults: Json = {"port": 0, "secrets": (SECRET,), "api_key": API_KEY, "drain_s": 0}
    server = WatchedServer(Settings(**{**defaults, **settings}))
    await server.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield Site(server.url, http, server)
    finally:
        await server.stop()


def mint(client_id: str = "alice", *, secret: str = SECRET, **claims: object) -> str:
    """Return a token that PyJWT made; `exp` is two hours away where it is not given."""
    return jwt.encode({"sub": client_id, "exp": time.time() + 7200, **claims}, secret)


async def recv(client: websockets.ClientConnection) -> Json:
    """Return the next frame of a `headrace.v1` client."""
    frame = await client.recv()
    assert isinstance(frame, str)
    decoded: Json = msgspec.json.decode(frame)
    return decoded


async def opened(client: websockets.ClientConnection) -> Json:
    """Return the first frame, which is an `open`."""
    frame = await recv(client)
    assert frame["type"] == "open"
    return frame


async def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; what it prints is text."""
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, timeout=60
    )
