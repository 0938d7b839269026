"""Connections that are lost: what counts at once, and what waits for its turn."""

import asyncio
import json
import socket
from collections.abc import Callable
from functools import partial

import pytest
from tests.server.kit import API_KEY, Site, mint, opened
from tests.server.wire import Wire, masked, wire

from headrace import limits
from headrace.frames import PONG, TEXT
from headrace.server.stream import StreamProtocol
from headrace.session import State

Turns = list[Callable[[], None]]


@pytest.fixture
def turns(site: Site, monkeypatch: pytest.MonkeyPatch) -> Turns:
    """The turns of the site's lost connections, to be given by hand."""
    waiting: Turns = []
    monkeypatch.setattr(site.server.departures, "submit", waiting.append)
    return waiting


def end(client: Wire) -> None:
    client.end()


def reset(client: Wire) -> None:
    client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client._socket.close()


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)


async def listen(client: Wire, path: str, token: str) -> None:
    """Open a WebSocket or an event stream, and read its first bytes."""
    if path == "/v1/connect":
        await client.upgrade(token)
        assert (await client.json())["type"] == "open"
    else:
        await client.write(f"GET {path}?token={token} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 200 " in await client.read_head()
        while b'"open"' not in await client.read_some():
            pass


@pytest.mark.parametrize("path", ["/v1/connect", "/v1/events"])
@pytest.mark.parametrize("lose", [end, reset])
async def test_a_lost_connection_counts_for_nothing_before_its_turn(
    site: Site, turns: Turns, path: str, lose: Callable[[Wire], None]
) -> None:
    async with wire(site.port) as client:
        await listen(client, path, mint())
        (session,) = site.server.hub.sessions
        connection = session.sink
        assert isinstance(connection, StreamProtocol)
        lose(client)
        await until(lambda: turns and connection not in site.server.connections)
        assert session.state is State.CLOSED
        assert (await site.send("nobody hears it"))["sessions"] == 0
        connection.on_deadline(site.server.clocks.monotonic())  # no ping, no error
        (turn,) = turns
        turn()
        assert session not in site.server.hub.sessions
        assert (await site.stats())["sessions"] == 0


async def test_a_peer_that_ends_its_side_is_closed(site: Site) -> None:
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.json()
        client.end()
        async with asyncio.timeout(5):
            assert await client.read_to_end() == b""


async def test_a_peer_that_ends_its_side_and_reads_nothing_is_cut(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLOSE_TIMEOUT_S", 0.1)
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.json()
        (session,) = site.server.hub.sessions
        connection = session.sink
        assert isinstance(connection, StreamProtocol)
        while session.state is not State.PAUSED:
            await site.send("x" * 30_000)
        client.end()
        await until(lambda: not site.server.hub.sessions)
        assert connection in site.server.connections  # with what its transport holds
        await until(lambda: connection not in site.server.connections)


async def test_one_that_comes_back_before_the_turn_misses_nothing(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.json()
        reset(client)
        await until(partial(len, turns))
    await site.send("between")
    async with site.connect(mint()) as again:  # it says no id
        await opened(again)
        assert '"between"' in str(await again.recv())
        turns.pop()()
        assert (await site.send("after"))["sessions"] == 1
        assert '"after"' in str(await again.recv())


async def test_many_that_are_lost_together_are_all_forgotten(site: Site) -> None:
    async with asyncio.TaskGroup() as group:

        async def come_and_go(number: int) -> None:
            async with wire(site.port) as client:
                await client.upgrade(mint(f"client {number}"))
                await client.json()
                reset(client)

        for number in range(200):
            group.create_task(come_and_go(number))
    await until(lambda: not site.server.hub.sessions)
    assert len(site.server.departures) == 0
    assert (await site.stats())["sessions"] == 0


async def test_what_waited_to_be_read_of_a_lost_one_moves_nothing(
    site: Site, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread: Turns = []
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.json()
        monkeypatch.setattr(site.server.admission, "defer", unread.append)
        renew = json.dumps({"type": "renew", "token": mint()}).encode()
        noise = masked(PONG, b"x" * 100) * (limits.FRAMES_PER_TURN_BYTES // 100)
        await client.write(noise + masked(TEXT, renew))
        await until(partial(len, unread))
        reset(client)
        (session,) = site.server.hub.sessions
        assert isinstance(session.sink, StreamProtocol)
        session.sink.abort()  # its reading is paused: nothing else would be noticed yet
        await until(partial(len, turns))
        await site.send("missed")
        unread.pop()()
        assert not unread
        turns.pop()()
    async with site.connect(mint()) as again:
        await opened(again)
        assert '"missed"' in str(await again.recv())


async def test_in_a_storm_a_message_does_not_wait_for_the_end_of_the_tick(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_of_ticks: Turns = []
    monkeypatch.setattr(site.server.hub, "_schedule", ends_of_ticks.append)
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.json()
        assert (await site.send("waits"))["sessions"] == 1
        assert len(ends_of_ticks) == 1
        for _ in range(limits.STORM_MIN_COUNT):
            site.server.departures.defer(lambda: None)
        assert (await site.send("does not"))["sessions"] == 1
        async with asyncio.timeout(5):
            assert [(await client.json())["data"] for _ in range(2)] == ["waits", "does not"]


@pytest.mark.parametrize("path", ["/v1/connect", "/v1/events"])
async def test_one_that_is_lost_needs_no_goodbye(site: Site, turns: Turns, path: str) -> None:
    async with wire(site.port) as revoked, wire(site.port) as left:
        await listen(revoked, path, mint("revoked"))
        await listen(left, path, mint("left"))
        reset(revoked)
        reset(left)
        await until(lambda: len(turns) == 2)
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with site.http.delete(f"{site.url}/v1/channels/revoked", headers=headers) as answer:
        assert answer.status == 200
    assert [session.client_id for session in site.server.hub.sessions] == ["left"]
    await site.server.stop()
    assert [client_id for client_id, _ in site.server.hub.roster.left()] == ["revoked", "left"]
