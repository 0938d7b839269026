"""Presence: notices to the application, and `GET /v1/presence`; per client, not per session."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import quote

import aiohttp
import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.application import CONNECTED, DISCONNECTED, FakeApplication, running_application
from tests.helpers.server_process import ServerProcess, server_process
from tests.helpers.site import API_KEY, Json, Site, mint, opened, recv
from tests.helpers.wire import request, wire

from headrace.hub.application import UpdateMessage
from headrace.hub.presence import PresenceChange

GRACE_S = 0.5
only_asyncio = pytest.mark.asyncio(loop_factories=["asyncio"])  # the server is another process


@pytest.fixture
async def application() -> AsyncIterator[FakeApplication]:
    async with running_application() as application:
        yield application


@pytest.fixture
async def site(application: FakeApplication) -> AsyncIterator[ServerProcess]:
    flags = ("--app-url", application.url, "--presence-grace-s", str(GRACE_S), "--drain-s", "0")
    async with server_process(*flags) as site:
        yield site


async def presence(site: Site, path: str) -> Json:
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with site.http.get(f"{site.url}/v1/presence{path}", headers=headers) as response:
        assert response.status == 200, await response.text()
        found: Json = await response.json()
        return found


async def wait_for_earlier_notices(site: Site, application: FakeApplication) -> None:
    """Wait until all notices that are due now have been received."""
    number = len(application.notices)
    async with site.connect(mint("sentinel")) as client:
        await opened(client)
    await application.wait_until(lambda: (DISCONNECTED, "sentinel") in application.notices[number:])


# --- notices and requests ----------------------------------------------------------------------


@only_asyncio
async def test_three_sessions_of_one_client(
    application: FakeApplication, site: ServerProcess
) -> None:
    async with AsyncExitStack() as stack:
        tabs = []
        for _ in range(3):
            tabs.append(await stack.enter_async_context(site.connect(mint())))
            await opened(tabs[-1])
        await application.wait_for_notices((CONNECTED, "alice"))
        assert (await site.send("to all tabs"))["sessions"] == 3
        assert [(await recv(tab))["data"] for tab in tabs] == ["to all tabs"] * 3
        found = await presence(site, "/alice")
        assert (found["online"], found["sessions"]) == (True, 3)
        for tab in tabs[:2]:
            await tab.close()
        await wait_for_earlier_notices(site, application)
        assert application.notices_of("alice") == [CONNECTED]
        assert (await presence(site, "/alice"))["sessions"] == 1
        await tabs[2].close()
        await application.wait_until(lambda: len(application.notices_of("alice")) == 2)
    await wait_for_earlier_notices(site, application)
    assert application.notices_of("alice") == [CONNECTED, DISCONNECTED]
    found = await presence(site, "/alice")
    assert found == {"client_id": "alice", "online": False, "since": None, "sessions": 0}


@only_asyncio
async def test_reload_within_the_grace_is_no_departure(
    application: FakeApplication, site: ServerProcess
) -> None:
    since = None
    for _ in range(4):
        async with site.connect(mint()) as client:
            await opened(client)
            found = await presence(site, "/alice")
            since = since or found["since"]
            assert found["since"] == since
    await wait_for_earlier_notices(site, application)
    assert application.notices_of("alice") == [CONNECTED, DISCONNECTED]


@only_asyncio
async def test_sessions_over_different_transports_are_one_client(
    application: FakeApplication, site: ServerProcess
) -> None:
    events = f"{site.url}/v1/events?token={mint()}"
    async with site.connect(mint()) as client:
        await opened(client)
        async with site.http.get(events) as stream:
            await stream.content.readuntil(b'"open"')
            assert (await presence(site, "/alice"))["sessions"] == 2
            await client.close()
            await wait_for_earlier_notices(site, application)
            assert application.notices_of("alice") == [CONNECTED]
    await application.wait_until(
        lambda: application.notices_of("alice") == [CONNECTED, DISCONNECTED]
    )


@only_asyncio
async def test_polling_client_is_online_between_its_polls(
    application: FakeApplication, site: ServerProcess
) -> None:
    last_id = ""
    for number in range(5):
        url = f"{site.url}/v1/poll?token={mint()}&last_id={last_id}"
        poll = asyncio.create_task(site.http.get(url).__aenter__())
        while (await site.stats())["sessions"] == 0:
            pass
        await site.send(str(number))
        response = await (await poll).json()
        assert [message["data"] for message in response["messages"]] == [str(number)]
        last_id = response["last_id"]
        found = await presence(site, "/alice")
        assert (found["online"], found["sessions"]) == (True, 0)
    assert application.notices == [(CONNECTED, "alice")]
    await application.wait_for_notices((CONNECTED, "alice"), (DISCONNECTED, "alice"))


@only_asyncio
async def test_presence_of_a_group(site: ServerProcess) -> None:
    empty = {"group": "g/ü &", "count": 0, "clients": []}
    path = f"?group={quote('g/ü &', safe='')}"
    assert await presence(site, path) == empty
    async with (
        site.connect(mint("a", groups=["g/ü &", "h"])) as one,
        site.connect(mint("a", groups=["g/ü &"])) as two,
        site.connect(mint("b", groups=["g/ü &"])) as three,
        site.connect(mint("c", groups=["h"])) as four,
    ):
        for client in (one, two, three, four):
            await opened(client)
        found = await presence(site, path)
        assert (found["group"], found["count"]) == ("g/ü &", 2)
        assert [(c["client_id"], c["online"], c["sessions"]) for c in found["clients"]] == [
            ("a", True, 2),
            ("b", True, 1),
        ]
        assert (await presence(site, "?group=h"))["count"] == 2
    while (await presence(site, path))["count"]:
        pass
    assert await presence(site, path) == empty


@only_asyncio
async def test_invalid_requests(site: ServerProcess) -> None:
    headers = {"authorization": f"Bearer {API_KEY}"}
    for path, status in (
        ("", 400),
        ("?group=", 400),
        ("?group=" + "x" * 257, 400),
        ("/" + "x" * 257, 400),
        ("/%FF", 400),
    ):
        async with site.http.get(f"{site.url}/v1/presence{path}", headers=headers) as response:
            assert (path, response.status) == (path, status)
    async with site.http.get(f"{site.url}/v1/presence/alice") as response:
        assert response.status == 401


# --- outages and shutdown ----------------------------------------------------------------------


@only_asyncio
async def test_200_clients_connect_and_disconnect_during_an_outage(
    application: FakeApplication, site: ServerProcess
) -> None:
    expected = {f"client {number}": [CONNECTED] for number in range(200)}
    stay = [client for number, client in enumerate(expected) if number % 3 == 0]
    back = [client for number, client in enumerate(expected) if number % 3 == 1]

    async def visit(stack: AsyncExitStack, client_id: str) -> None:
        await opened(await stack.enter_async_context(site.connect(mint(client_id))))

    async def wait_until_online(count: int) -> None:
        headers = {"authorization": f"Bearer {API_KEY}"}
        while True:
            online = 0
            for client_id in expected:
                url = f"{site.url}/v1/presence/{quote(client_id)}"
                async with site.http.get(url, headers=headers) as response:
                    online += (await response.json())["online"]
            if online == count:
                return

    async with AsyncExitStack() as staying:
        for client_id in stay[:20]:
            await visit(staying, client_id)
        await application.wait_until(lambda: len(application.notices) == 20)
        await application.stop()
        async with AsyncExitStack() as visiting:
            for client_id in expected:
                if client_id not in stay[:20]:
                    await visit(staying if client_id in stay else visiting, client_id)
        await wait_until_online(count=len(stay))
        for client_id in expected.keys() - set(stay):
            expected[client_id].append(DISCONNECTED)
        for client_id in back:
            await visit(staying, client_id)
            expected[client_id].append(CONNECTED)
        number = sum(map(len, expected.values()))
        loop = asyncio.get_running_loop()
        await application.start()
        started = loop.time()
        await application.wait_until(lambda: len(application.notices) >= number)
        assert loop.time() - started < 20
        await wait_for_earlier_notices(site, application)
        assert {client: application.notices_of(client) for client in expected} == expected
        assert len(application.notices) == number + 2


@only_asyncio
async def test_shutdown_announces_all_departures(
    application: FakeApplication, site: ServerProcess
) -> None:
    clients = [f"client {number}" for number in range(20)]
    async with AsyncExitStack() as stack:
        for client_id in clients:
            await opened(await stack.enter_async_context(site.connect(mint(client_id))))
        assert await site.stop() == (0, "", "")
    assert sorted(application.notices) == sorted(
        [(kind, client_id) for client_id in clients for kind in (CONNECTED, DISCONNECTED)]
    )


# --- dead connections --------------------------------------------------------------------------


class PresenceQueue:
    """An application in this process that queues presence changes."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[PresenceChange] = asyncio.Queue()

    def presence_changed(self, change: PresenceChange) -> None:
        self.changes.put_nowait(change)

    async def receive(self, message: UpdateMessage) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Do nothing: there are no resources."""


def stop_acknowledging(sock: socket.socket) -> None:
    """Make the kernel drop all packets for this socket, as if the cable were cut.

    This attaches a BPF program of one instruction, `return 0` (socket(7), SO_ATTACH_FILTER).
    """
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0), 8)
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    sock.setsockopt(socket.SOL_SOCKET, 26, program)


INTERVAL_S = 1.0
SLACK_S = 0.5  # the resolution of the timers, and a busy machine


async def test_event_stream_whose_peer_acknowledges_nothing(serve: Serve) -> None:
    application = PresenceQueue()
    site = await serve(application, ping_interval_s=INTERVAL_S, presence_grace_s=0)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", site.port))
        await loop.sock_sendall(sock, request("GET", f"/v1/events?token={mint()}"))
        assert (await application.changes.get()).connected
        received = b""
        while b": ping" not in received:
            received += await loop.sock_recv(sock, 65536)
        stop_acknowledging(sock)
        stopped_at = loop.time()
        assert not (await application.changes.get()).connected
        assert INTERVAL_S < loop.time() - stopped_at < 2 * INTERVAL_S + SLACK_S


async def test_event_stream_whose_peer_acknowledges_but_does_not_read(serve: Serve) -> None:
    application = PresenceQueue()
    site = await serve(application, ping_interval_s=0.3, presence_grace_s=0)
    loop = asyncio.get_running_loop()
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.write(request("GET", f"/v1/events?token={mint()}"))
        assert (await application.changes.get()).connected
        for _ in range(20):  # more than its buffer holds, but too little to pause the server
            await site.send("x" * 1000)
        until = loop.time() + 4
        while loop.time() < until:
            assert (await site.stats())["sessions"] == 1
    assert not (await application.changes.get()).connected


async def test_websocket_whose_peer_answers_no_ping(serve: Serve) -> None:
    application = PresenceQueue()
    site = await serve(application, ping_interval_s=INTERVAL_S, presence_grace_s=0)
    loop = asyncio.get_running_loop()
    async with wire(site.port) as client:
        await client.upgrade(mint())
        assert (await application.changes.get()).connected
        opened_at = loop.time()
        assert not (await application.changes.get()).connected
        assert INTERVAL_S < loop.time() - opened_at < 2 * INTERVAL_S + SLACK_S


async def test_idle_clients_that_answer_stay_connected(serve: Serve) -> None:
    application = PresenceQueue()
    site = await serve(application, ping_interval_s=0.2, presence_grace_s=0)
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{site.url}/v1/events?token={mint('stream')}") as stream,
        site.connect(mint("socket")) as client,
    ):
        for _ in range(8):
            assert await recv(client)
            assert await stream.content.readuntil(b": ping")
        assert application.changes.qsize() == 2
        assert (await site.stats())["sessions"] == 2
