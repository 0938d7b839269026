"""Presence, told to an application and asked for: per client and not per tab, prompt, in order."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import quote

import aiohttp
import pytest
from tests.server.application import CAME, WENT, Application, running_application
from tests.server.conftest import Serve
from tests.server.kit import API_KEY, Json, Site, mint, opened, recv
from tests.server.process import ServerProcess, server_process
from tests.server.wire import request, wire

from headrace.application import UpdateMessage
from headrace.presence import Change

GRACE_S = 0.5
only_asyncio = pytest.mark.asyncio(loop_factories=["asyncio"])  # the process has its own loop


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    async with running_application() as application:
        yield application


@pytest.fixture
async def site(application: Application) -> AsyncIterator[ServerProcess]:
    flags = ("--app-url", application.url, "--presence-grace-s", str(GRACE_S), "--drain-s", "0")
    async with server_process(*flags) as site:
        yield site


async def presence(site: Site, path: str) -> Json:
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with site.http.get(f"{site.url}/v1/presence{path}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        found: Json = await answer.json()
        return found


async def silence(site: Site, application: Application) -> None:
    """Wait until whatever there is to be told so far has been told."""
    number = len(application.notices)
    async with site.connect(mint("sentinel")) as client:
        await opened(client)
    await application.until(lambda: (WENT, "sentinel") in application.notices[number:])


# --- who is told what --------------------------------------------------------------------------


@only_asyncio
async def test_three_tabs_of_one_client(application: Application, site: ServerProcess) -> None:
    async with AsyncExitStack() as stack:
        tabs = []
        for _ in range(3):
            tabs.append(await stack.enter_async_context(site.connect(mint())))
            await opened(tabs[-1])
        await application.until_told((CAME, "alice"))
        assert (await site.send("to all tabs"))["sessions"] == 3
        assert [(await recv(tab))["data"] for tab in tabs] == ["to all tabs"] * 3
        found = await presence(site, "/alice")
        assert (found["online"], found["sessions"]) == (True, 3)
        for tab in tabs[:2]:
            await tab.close()
        await silence(site, application)
        assert application.notices_of("alice") == [CAME]
        assert (await presence(site, "/alice"))["sessions"] == 1
        await tabs[2].close()
        await application.until(lambda: len(application.notices_of("alice")) == 2)
    await silence(site, application)
    assert application.notices_of("alice") == [CAME, WENT]
    found = await presence(site, "/alice")
    assert found == {"client_id": "alice", "online": False, "since": None, "sessions": 0}


@only_asyncio
async def test_a_reload_within_the_grace_says_nothing(
    application: Application, site: ServerProcess
) -> None:
    since = None
    for _ in range(4):
        async with site.connect(mint()) as client:
            await opened(client)
            found = await presence(site, "/alice")
            since = since or found["since"]
            assert found["since"] == since
    await silence(site, application)
    assert application.notices_of("alice") == [CAME, WENT]


@only_asyncio
async def test_tabs_over_different_transports_are_one_client(
    application: Application, site: ServerProcess
) -> None:
    events = f"{site.url}/v1/events?token={mint()}"
    async with site.connect(mint()) as client:
        await opened(client)
        async with site.http.get(events) as stream:
            await stream.content.readuntil(b'"open"')
            assert (await presence(site, "/alice"))["sessions"] == 2
            await client.close()
            await silence(site, application)
            assert application.notices_of("alice") == [CAME]
    await application.until(lambda: application.notices_of("alice") == [CAME, WENT])


@only_asyncio
async def test_a_client_that_polls_is_there_between_its_polls(
    application: Application, site: ServerProcess
) -> None:
    last_id = ""
    for number in range(5):
        url = f"{site.url}/v1/poll?token={mint()}&last_id={last_id}"
        poll = asyncio.create_task(site.http.get(url).__aenter__())
        while (await site.stats())["sessions"] == 0:
            pass
        await site.send(str(number))
        answer = await (await poll).json()
        assert [one["data"] for one in answer["messages"]] == [str(number)]
        last_id = answer["last_id"]
        found = await presence(site, "/alice")
        assert (found["online"], found["sessions"]) == (True, 0)
    assert application.notices == [(CAME, "alice")]
    await application.until_told((CAME, "alice"), (WENT, "alice"))


@only_asyncio
async def test_a_group_s_presence(site: ServerProcess) -> None:
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
async def test_presence_that_cannot_be_asked_for(site: ServerProcess) -> None:
    headers = {"authorization": f"Bearer {API_KEY}"}
    for path, status in (
        ("", 400),
        ("?group=", 400),
        ("?group=" + "x" * 257, 400),
        ("/" + "x" * 257, 400),
        ("/%FF", 400),
    ):
        async with site.http.get(f"{site.url}/v1/presence{path}", headers=headers) as answer:
            assert (path, answer.status) == (path, status)
    async with site.http.get(f"{site.url}/v1/presence/alice") as answer:
        assert answer.status == 401


# --- the application is down, or the server ends -----------------------------------------------


@only_asyncio
async def test_200_clients_come_and_go_while_the_application_is_down(
    application: Application, site: ServerProcess
) -> None:
    expected = {f"client {number}": [CAME] for number in range(200)}
    stay = [client for number, client in enumerate(expected) if number % 3 == 0]
    back = [client for number, client in enumerate(expected) if number % 3 == 1]

    async def visit(stack: AsyncExitStack, client_id: str) -> None:
        await opened(await stack.enter_async_context(site.connect(mint(client_id))))

    async def all_gone(but: int) -> None:
        headers = {"authorization": f"Bearer {API_KEY}"}
        while True:
            online = 0
            for client_id in expected:
                url = f"{site.url}/v1/presence/{quote(client_id)}"
                async with site.http.get(url, headers=headers) as answer:
                    online += (await answer.json())["online"]
            if online == but:
                return

    async with AsyncExitStack() as staying:
        for client_id in stay[:20]:
            await visit(staying, client_id)
        await application.until(lambda: len(application.notices) == 20)
        await application.down()
        async with AsyncExitStack() as visiting:
            for client_id in expected:
                if client_id not in stay[:20]:
                    await visit(staying if client_id in stay else visiting, client_id)
        await all_gone(but=len(stay))
        for client_id in expected.keys() - set(stay):
            expected[client_id].append(WENT)
        for client_id in back:
            await visit(staying, client_id)
            expected[client_id].append(CAME)
        number = sum(map(len, expected.values()))
        loop = asyncio.get_running_loop()
        await application.up()
        started = loop.time()
        await application.until(lambda: len(application.notices) >= number)
        assert loop.time() - started < 20
        await silence(site, application)
        assert {client: application.notices_of(client) for client in expected} == expected
        assert len(application.notices) == number + 2


@only_asyncio
async def test_the_end_of_the_server_tells_of_everybody(
    application: Application, site: ServerProcess
) -> None:
    clients = [f"client {number}" for number in range(20)]
    async with AsyncExitStack() as stack:
        for client_id in clients:
            await opened(await stack.enter_async_context(site.connect(mint(client_id))))
        assert await site.end() == (0, "", "")
    assert sorted(application.notices) == sorted(
        [(kind, client_id) for client_id in clients for kind in (CAME, WENT)]
    )


# --- lines that are dead -----------------------------------------------------------------------


class Listener:
    """An application in the server's process."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Change] = asyncio.Queue()

    def presence_changed(self, change: Change) -> None:
        self.told.put_nowait(change)

    async def receive(self, message: UpdateMessage) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        """There is nothing to be handed on."""


def stop_acknowledging(sock: socket.socket) -> None:
    """Have the kernel drop whatever comes for this socket, as if the line were cut.

    By a classic BPF program of one instruction, `return 0` (socket(7), SO_ATTACH_FILTER).
    """
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0), 8)
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    sock.setsockopt(socket.SOL_SOCKET, 26, program)


INTERVAL_S = 1.0
SLACK_S = 0.5  # the timers' resolution, and a busy machine


async def test_an_event_stream_whose_peer_acknowledges_nothing(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S, presence_grace_s=0)
    site.server.hub.application = listener = Listener()
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", site.port))
        await loop.sock_sendall(sock, request("GET", f"/v1/events?token={mint()}"))
        assert (await listener.told.get()).connected
        received = b""
        while b": ping" not in received:
            received += await loop.sock_recv(sock, 65536)
        stop_acknowledging(sock)
        cut_at = loop.time()
        assert not (await listener.told.get()).connected
        assert INTERVAL_S < loop.time() - cut_at < 2 * INTERVAL_S + SLACK_S


async def test_an_event_stream_whose_peer_acknowledges_but_does_not_read(serve: Serve) -> None:
    site = await serve(ping_interval_s=0.3, presence_grace_s=0)
    site.server.hub.application = listener = Listener()
    loop = asyncio.get_running_loop()
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.write(request("GET", f"/v1/events?token={mint()}"))
        assert (await listener.told.get()).connected
        for _ in range(20):  # more than it has room for, and too little to pause the server
            await site.send("x" * 1000)
        until = loop.time() + 4
        while loop.time() < until:
            assert (await site.stats())["sessions"] == 1
    assert not (await listener.told.get()).connected


async def test_a_websocket_whose_peer_answers_no_ping(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S, presence_grace_s=0)
    site.server.hub.application = listener = Listener()
    loop = asyncio.get_running_loop()
    async with wire(site.port) as client:
        await client.upgrade(mint())
        assert (await listener.told.get()).connected
        opened_at = loop.time()
        assert not (await listener.told.get()).connected
        assert INTERVAL_S < loop.time() - opened_at < 2 * INTERVAL_S + SLACK_S


async def test_a_quiet_client_that_is_there_stays(serve: Serve) -> None:
    site = await serve(ping_interval_s=0.2, presence_grace_s=0)
    site.server.hub.application = listener = Listener()
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{site.url}/v1/events?token={mint('stream')}") as stream,
        site.connect(mint("socket")) as client,
    ):
        for _ in range(8):
            assert await recv(client)
            assert await stream.content.readuntil(b": ping")
        assert listener.told.qsize() == 2
        assert (await site.stats())["sessions"] == 2
