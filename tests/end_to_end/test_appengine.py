"""headrace.appengine with a server: in the same process, and over HTTP."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import jwt
import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.site import API_KEY, SECRET, Site, opened, recv, run

from headrace import appengine
from headrace.appengine import HttpBackend, channel
from headrace.client import AsyncClient, Client, RequestError
from headrace.errors import UnavailableError

CLIENT_IDS = ["alice", "a/b", "-a--b=c&d+e f", "é" * 128, "x" * 256, "\x00", "a.b.c"]


@pytest.fixture(autouse=True)
def default_backend_afterwards() -> Iterator[None]:
    yield
    appengine.use(None)


@pytest.fixture(params=["bound", "found", "over HTTP"])
async def site(serve: Serve, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """A server that `channel` uses."""
    site = await serve()
    if request.param == "found":  # the hub of this process is the default
        yield site
    elif request.param == "bound":
        appengine.bind(site.server.hub)
        yield site
    else:
        with Client(site.url, API_KEY, retry_s=0) as client:
            appengine.use(HttpBackend(client))
            yield site


async def in_thread(function: Callable[..., object], *args: object) -> object:
    return await asyncio.to_thread(function, *args)


@pytest.mark.parametrize("client_id", CLIENT_IDS)
async def test_a_channel_and_a_message(site: Site, client_id: str) -> None:
    token = await in_thread(channel.create_channel, client_id)
    assert isinstance(token, str)
    assert await in_thread(channel.send_message, client_id.encode(), "before") is None
    async with site.connect(token) as client:
        assert (await opened(client))["client_id"] == client_id
        assert (await recv(client))["data"] == "before"
        await in_thread(channel.send_message, client_id, "to the ID")
        await in_thread(channel.send_message, token, b"to the token")
        assert (await recv(client))["data"] == "to the ID"
        assert (await recv(client))["data"] == "to the token"


async def test_the_limits(site: Site) -> None:
    token = await in_thread(channel.create_channel, "alice", 1440.0)
    assert isinstance(token, str)
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == pytest.approx(1440 * 60)
    async with site.connect(token) as client:
        await opened(client)
        await in_thread(channel.send_message, "alice", "é" * 16383 + "x")
        assert (await recv(client))["data"] == "é" * 16383 + "x"
    for message in ("", "x" * 32768):
        with pytest.raises(channel.InvalidMessageError):
            await in_thread(channel.send_message, "alice", message)
    for minutes in (0, 1441, 1.5):
        with pytest.raises(channel.InvalidChannelTokenDurationError):
            await in_thread(channel.create_channel, "alice", minutes)


async def test_a_new_token_after_a_revocation(site: Site) -> None:
    async with AsyncClient(site.url, API_KEY) as application:
        await application.revoke("alice")
    token = await in_thread(channel.create_channel, "alice")
    assert isinstance(token, str)
    async with site.connect(token) as client:
        await opened(client)


async def test_nobody_connected(site: Site) -> None:
    assert await in_thread(channel.send_message, "nobody", "Hello") is None


async def test_in_the_thread_of_the_event_loop(serve: Serve) -> None:
    """A call in the event loop's thread must not wait for the loop."""
    site = await serve()
    appengine.bind(site.server.hub)
    token = channel.create_channel("alice")
    async with site.connect(token) as client:
        await opened(client)
        for number in range(100):
            channel.send_message("alice", str(number))
        assert [(await recv(client))["data"] for _ in range(100)] == [*map(str, range(100))]
    with pytest.raises(channel.InvalidChannelClientIdError):
        channel.send_message("", "Hello")


@pytest.mark.parametrize("backend", ["bound", "over HTTP"])
async def test_a_server_with_lower_limits(serve: Serve, backend: str) -> None:
    site = await serve(client_id_max_bytes=10, message_max_bytes=10)
    with Client(site.url, API_KEY, retry_s=0) as client:
        if backend == "bound":
            appengine.bind(site.server.hub)
        else:
            appengine.use(HttpBackend(client))
        with pytest.raises(channel.InvalidChannelClientIdError, match=r"\b10\b"):
            await in_thread(channel.create_channel, "x" * 11)
        with pytest.raises(channel.InvalidChannelClientIdError, match=r"\b10\b"):
            await in_thread(channel.send_message, "x" * 11, "Hello")
        with pytest.raises(channel.InvalidMessageError, match=r"\b10\b"):
            await in_thread(channel.send_message, "alice", "x" * 11)


async def test_a_wrong_key(serve: Serve) -> None:
    site = await serve()
    with Client(site.url, "another-key", retry_s=0) as client:
        appengine.use(HttpBackend(client))
        with pytest.raises(channel.Error) as caught:
            await in_thread(channel.send_message, "alice", "Hello")
        assert isinstance(caught.value.__cause__, RequestError)
        assert caught.value.__cause__.status == 401


async def test_a_send_that_fails_later_is_logged(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: object, **kwargs: object) -> None:
        await asyncio.sleep(0)
        raise UnavailableError("the log is down")

    logged: asyncio.Queue[logging.LogRecord] = asyncio.Queue()
    monkeypatch.setattr(logging.getLogger("headrace"), "handle", logged.put_nowait)
    site = await serve()
    appengine.bind(site.server.hub)
    monkeypatch.setattr(site.server.hub, "send", fail)
    channel.send_message("alice", "the-data")
    record = await logged.get()
    assert record.levelno == logging.ERROR
    assert record.getMessage().endswith("the log is down")
    assert "the-data" not in record.getMessage()


APPLICATION = """
import headrace.appengine
headrace.appengine.install()

from google.appengine.api import channel

token = channel.create_channel("alice", 60)
channel.send_message("alice", "from another process")
channel.send_message(token, "by its token")
print(token)
"""


async def test_another_process(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    site = await serve()
    monkeypatch.setenv("HEADRACE_URL", site.url)
    monkeypatch.setenv("HEADRACE_API_KEY", API_KEY)
    done = await run(sys.executable, "-W", "error", "-c", APPLICATION)
    assert done.stderr == ""
    async with site.connect(done.stdout.strip()) as client:
        await opened(client)
        assert (await recv(client))["data"] == "from another process"
        assert (await recv(client))["data"] == "by its token"
