"""A fake server for the HTTP requests of both clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from headrace.client import AsyncClient, Client, retry
from headrace.client.batch import SendResult

KEY = "the-key"
SECRET = "a secret of the tests, 32 bytes+"
SENT = {"id": "1-0", "sessions": 2}

ClientType = type[Client | AsyncClient]


class FakeServer:
    """Sends the given responses (None: closes the connection), and records the requests."""

    def __init__(self) -> None:
        self.responses: list[web.Response | Callable[[bytes], web.Response] | None] = []
        self.requests: list[tuple[str, str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._respond)
        self.server = TestServer(app)

    async def _respond(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((request.method, request.raw_path, body))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        response = self.responses.pop(0)
        if response is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return response if isinstance(response, web.Response) else response(body)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/base/"))

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.requests]


class Caller:
    """Calls the methods of either client by name."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    async def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        method = getattr(self.client, name)
        if isinstance(self.client, Client):
            return await asyncio.to_thread(method, *args, **kwargs)
        return await method(*args, **kwargs)

    async def send_batch(self, sends: Any) -> list[SendResult]:
        client = self.client
        if isinstance(client, Client):
            return await asyncio.to_thread(lambda: list(client.send_batch(sends)))
        return [result async for result in client.send_batch(sends)]


def json_response(body: object, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


def batch_response(body: bytes) -> web.Response:
    """Respond to each line like the server; data that begins with "bad" fails."""
    lines = []
    for line in body.splitlines():
        data = json.loads(line)["data"]
        problem = {"title": "Bad Request", "status": 400, "detail": f"{data} is bad"}
        lines.append(json.dumps(problem if data.startswith("bad") else {"id": data, "sessions": 1}))
    return web.Response(text="".join([line + "\n" for line in lines]))


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    server = FakeServer()
    async with server.server:
        yield server
        assert not server.responses


@pytest.fixture(params=[Client, AsyncClient])
def client_type(request: pytest.FixtureRequest) -> ClientType:
    client_type: ClientType = request.param
    return client_type


@pytest.fixture
async def call(
    server: FakeServer, client_type: ClientType, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Caller]:
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.001)
    caller = Caller(client_type(server.url, KEY))
    yield caller
    await caller("close")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_URL", raising=False)
    monkeypatch.delenv("HEADRACE_API_KEY", raising=False)
