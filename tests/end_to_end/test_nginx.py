"""Clients behind nginx, which buffers responses by default: messages arrive without delay.

Each test starts nginx with its own directory and port.
"""

import asyncio
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import aiohttp
import pytest
from tests.helpers.site import Json, Site, opened, recv

MESSAGES = 9
LATENCY_MAX_S = 0.1

# Directives in the `location` that passes all requests. The first two are the most common.
BARE = ""
BUFFERING = "proxy_buffering on;"
# https://nginx.org/en/docs/http/websocket.html
UPGRADING = """
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
"""
CONFIGS = {"default": BARE, "buffering": BUFFERING, "upgrading": BUFFERING + UPGRADING}

CONFIG = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr notice;
{user}
events {{ worker_connections 256; }}
http {{
  access_log off;
  gzip on;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{server_port};
      {location}
    }}
  }}
}}
"""

StartProxy = Callable[[str], Awaitable[Site]]
"""Starts nginx with these directives in its `location`; returns the site behind it."""


def nginx_program() -> str:
    found = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert found is not None, "nginx is not installed; tests/setup installs it"
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def nginx(directory: Path, server_port: int, location: str) -> AsyncIterator[int]:
    """Run nginx in front of `server_port`; yield its own port once it listens."""
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # so that its worker can read its files
    text = CONFIG.format(port=port, server_port=server_port, location=location, user=user)
    (directory / "nginx.conf").write_text(text)
    process = await asyncio.create_subprocess_exec(
        nginx_program(),
        *("-p", str(directory), "-c", "nginx.conf", "-e", "stderr"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log = []
    async with asyncio.timeout(10):
        while b"start worker process " not in (line := await process.stderr.readline()):
            log.append(line)
            assert line, b"".join(log)
    try:
        yield port
    finally:
        process.terminate()
        await process.communicate()


@pytest.fixture
async def start_proxy(site: Site, tmp_path: Path) -> AsyncIterator[StartProxy]:
    async with AsyncExitStack() as stack:

        async def start(location: str) -> Site:
            port = await stack.enter_async_context(nginx(tmp_path, site.port, location))
            return Site(f"http://127.0.0.1:{port}", site.http)

        yield start


class EventStream:
    """The events of a stream, as they arrive."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content

    async def read_event(self) -> dict[str, str]:
        """Return the fields of the next event; ignore comments and `retry`."""
        fields: dict[str, str] = {}
        while True:
            line = (await self._content.readline()).decode()
            assert line, "the stream has ended"
            if line == "\n" and "data" in fields:
                return fields
            name, _, value = line.rstrip("\n").partition(": ")
            if name in ("id", "event", "data"):
                fields[name] = value


@asynccontextmanager
async def event_stream(site: Site, token: str, **headers: str) -> AsyncIterator[EventStream]:
    """Open an event stream."""
    headers["authorization"] = f"Bearer {token}"
    async with site.http.get(f"{site.url}/v1/events", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield EventStream(response)


async def latency_s(site: Site, receive: Callable[[], Awaitable[object]], data: str) -> float:
    """Return the seconds from the send until `receive` returns."""
    started = time.monotonic()
    await asyncio.gather(site.send(data), receive())
    return time.monotonic() - started


@pytest.mark.parametrize("config", CONFIGS)
async def test_event_stream_is_not_buffered(
    site: Site, start_proxy: StartProxy, config: str
) -> None:
    proxy = await start_proxy(CONFIGS[config])
    async with event_stream(proxy, await site.channel()) as stream:
        async with asyncio.timeout(5):  # the first event arrives before any message
            assert (await stream.read_event())["event"] == "headrace"
        received: list[str] = []

        async def receive() -> None:
            received.append((await stream.read_event())["data"])

        sent = [f"message {number}" for number in range(MESSAGES)]
        took_s = [await latency_s(site, receive, data) for data in sent]
        assert received == sent
        assert median(took_s) < LATENCY_MAX_S
        last = await site.send("the last one")
        assert (await stream.read_event())["id"] == last["id"]


@pytest.mark.parametrize("config", CONFIGS)
async def test_event_stream_resumes(site: Site, start_proxy: StartProxy, config: str) -> None:
    proxy = await start_proxy(CONFIGS[config])
    token = await site.channel()
    first = await site.send("one")
    await site.send("two")
    async with event_stream(proxy, token, **{"last-event-id": first["id"]}) as stream:
        assert '"recovered":true' in (await stream.read_event())["data"]
        assert (await stream.read_event())["data"] == "two"


@pytest.mark.parametrize("config", CONFIGS)
async def test_disconnect_is_noticed(site: Site, start_proxy: StartProxy, config: str) -> None:
    proxy = await start_proxy(CONFIGS[config])
    async with event_stream(proxy, await site.channel()) as stream:
        await stream.read_event()
        assert (await site.send("hello"))["sessions"] == 1
    async with asyncio.timeout(5):
        while (await site.stats())["sessions"]:
            await site.context.connection_closed.wait()
            site.context.connection_closed.clear()


@pytest.mark.parametrize("config", CONFIGS)
async def test_long_poll_is_answered_at_once(
    site: Site, start_proxy: StartProxy, config: str
) -> None:
    proxy = await start_proxy(CONFIGS[config])
    headers = {"authorization": f"Bearer {await site.channel()}"}

    async def poll(last_id: str) -> Json:
        url = f"{proxy.url}/v1/poll?last_id={last_id}"
        async with proxy.http.get(url, headers=headers) as response:
            assert response.status == 200
            found: Json = await response.json()
            return found

    last_id = (await site.send("before"))["id"]
    took_s = []
    for number in range(MESSAGES):
        polling = asyncio.create_task(poll(last_id))
        async with asyncio.timeout(5):
            while not (await site.stats())["sessions"]:
                continue  # the poll has not arrived yet
        started = time.monotonic()
        await site.send(f"message {number}")
        body = await polling
        took_s.append(time.monotonic() - started)
        assert [message["data"] for message in body["messages"]] == [f"message {number}"]
        last_id = body["last_id"]
    assert median(took_s) < LATENCY_MAX_S


async def test_websocket_with_upgrade_headers(site: Site, start_proxy: StartProxy) -> None:
    proxy = await start_proxy(UPGRADING)
    async with proxy.connect(await site.channel()) as client:
        await opened(client)
        received: list[str] = []

        async def receive() -> None:
            received.append((await recv(client))["data"])

        took_s = [await latency_s(site, receive, "x" * 3000) for _ in range(MESSAGES)]
        assert received == ["x" * 3000] * MESSAGES
        assert median(took_s) < LATENCY_MAX_S


async def test_websocket_without_upgrade_headers(site: Site, start_proxy: StartProxy) -> None:
    """nginx removes the Upgrade header; the JavaScript client then uses the event stream."""
    proxy = await start_proxy(BARE)
    async with proxy.http.get(
        f"{proxy.url}/v1/connect",
        headers={
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "c2l4dGVlbiBieXRlcy4uLg==",
            "authorization": f"Bearer {await site.channel()}",
        },
    ) as response:
        assert response.status == 426
