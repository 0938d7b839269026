"""current_backend: explicit backends, a hub in this process, and the environment variables."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.helpers.appengine import NOW, SECRET, MemoryBackend, mint

from headrace import appengine
from headrace.api.hub import Hub
from headrace.appengine import HttpBackend, HubBackend, channel, current_backend
from headrace.errors import ConfigError
from headrace.settings import Settings

VARIABLES = ("HEADRACE_URL", "HEADRACE_API_KEY", "HEADRACE_SECRET")
OTHER_TOKEN = mint("alice", "another secret, of the application")


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    appengine.use(None)
    current_backend._http.close()


def test_an_explicit_backend() -> None:
    backend = MemoryBackend()
    appengine.use(backend)
    assert current_backend.current() is backend


@pytest.mark.parametrize(
    ("names", "missing"), [([], "HEADRACE_API_KEY"), (["HEADRACE_API_KEY"], "HEADRACE_URL")]
)
def test_no_server(monkeypatch: pytest.MonkeyPatch, names: list[str], missing: str) -> None:
    for name in names:
        monkeypatch.setenv(name, "something")
    with pytest.raises(ConfigError, match=f"^{missing} is not set"):
        channel.create_channel("alice")
    with pytest.raises(channel.InvalidChannelClientIdError):  # found without a server
        channel.create_channel("")


# A hub in this process.


def new_hub() -> Hub:
    return Hub(Settings(secrets=(SECRET,)))


async def test_the_hub_of_this_process_is_found() -> None:
    async with new_hub():
        assert isinstance(current_backend.current(), HubBackend)
    with pytest.raises(ConfigError, match="no hub runs in this process"):
        current_backend.current()


async def test_one_of_several_hubs_must_be_bound() -> None:
    async with new_hub() as first, new_hub():
        with pytest.raises(ConfigError, match="2 hubs run in this process"):
            current_backend.current()
        appengine.bind(first)
        assert isinstance(current_backend.current(), HubBackend)
        appengine.bind(None)
        with pytest.raises(ConfigError, match="2 hubs"):
            current_backend.current()


# The environment variables.


class FakeServer:
    """Records the requests, as path, `Authorization` header and JSON body."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str | None, Any]] = []
        app = web.Application()
        app.router.add_post("/{path:.*}", self._respond)
        self.server = TestServer(app)

    async def _respond(self, request: web.Request) -> web.Response:
        key = request.headers.get("authorization")
        self.requests.append((request.path, key, await request.json()))
        return web.json_response(
            {"token": mint("alice"), "client_id": "alice", "expires_at": NOW}
            | {"id": "1-0", "sessions": 0}
        )

    @property
    def url(self) -> str:
        return str(self.server.make_url(""))


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeServer]:
    server = FakeServer()
    async with server.server:
        monkeypatch.setenv("HEADRACE_URL", server.url)
        monkeypatch.setenv("HEADRACE_API_KEY", "the-key")
        yield server
        current_backend._http.close()


async def test_the_environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await asyncio.to_thread(channel.create_channel, "alice", 60)
    await asyncio.to_thread(channel.send_message, token, "Hello")
    (path, key, body), (path_2, key_2, body_2) = server.requests
    assert (path, key) == ("/v1/channels", "Bearer the-key")
    assert body == {"client_id": "alice", "duration_minutes": 60}
    assert (path_2, key_2) == ("/v1/send", "Bearer the-key")
    assert len(body_2.pop("idempotency_key")) == 36
    assert body_2 == {"to": "alice", "data": "Hello"}

    first = current_backend.current()
    assert current_backend.current() is first  # its connections are reused
    monkeypatch.setenv("HEADRACE_API_KEY", "another-key")
    await asyncio.to_thread(channel.send_message, "alice", "Hello")
    assert server.requests[2][1] == "Bearer another-key"


async def test_the_secret_in_the_environment(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(channel.InvalidChannelClientIdError, match="the format of one"):
        channel.create_channel(OTHER_TOKEN)
    monkeypatch.setenv("HEADRACE_SECRET", SECRET)
    await asyncio.to_thread(channel.create_channel, OTHER_TOKEN)
    await asyncio.to_thread(channel.send_message, OTHER_TOKEN, "Hello")
    await asyncio.to_thread(channel.send_message, mint("alice"), "Hello")
    assert [body.get("to") for _, _, body in server.requests] == [None, OTHER_TOKEN, "alice"]
    monkeypatch.setenv("HEADRACE_SECRET", "short")
    with pytest.raises(ConfigError, match="at least 32"):
        channel.create_channel("alice")


def test_a_forked_process_has_its_own_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HEADRACE_API_KEY", "the-key")
    parent = current_backend.current()
    current_backend._reset_after_fork()
    assert current_backend.current() is not parent
    assert isinstance(parent, HttpBackend)
    parent.close()
