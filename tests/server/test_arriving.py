"""headrace.server.arriving: what comes before a connection has had its turn."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from tests.server.kit import Site, mint
from tests.server.wire import Wire, handshake, request, wire

from headrace.server.arriving import ArrivingProtocol
from headrace.server.connection import Connection

Turns = list[Callable[[], None]]


@pytest.fixture
def turns(site: Site, monkeypatch: pytest.MonkeyPatch) -> Turns:
    """The turns of the site's new connections, to be given by hand."""
    waiting: Turns = []
    monkeypatch.setattr(site.server.admission, "submit", waiting.append)
    return waiting


def has_received(connection: Connection, *, ended: bool) -> bool:
    if not isinstance(connection, ArrivingProtocol) or not connection._received:
        return False
    return (connection._received[-1] == b"") is ended


async def arrived(site: Site, *, ended: bool) -> None:
    """Wait for the first bytes of the only connection, and for its end."""
    while not any(map(partial(has_received, ended=ended), site.server.connections)):  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0)


async def ask(site: Site, client: Wire, data: bytes, turns: Turns, *, ended: bool) -> None:
    """Send `data`, end our side where `ended`, and give the connection its turn."""
    await client.write(data)
    await arrived(site, ended=False)
    if ended:
        client.end()
        await arrived(site, ended=True)
    (turn,) = turns
    turns.clear()
    turn()


async def test_pieces_wait_together(site: Site, turns: Turns) -> None:
    whole = request("GET", "/healthz")
    async with wire(site.port) as client:
        await client.write(whole[:9])
        await arrived(site, ended=False)
        await ask(site, client, whole[9:], turns, ended=False)
        assert (await client.reply()).json() == {"status": "ok"}
        assert (await client.ask("GET", "/healthz")).status == 200


async def test_one_that_has_asked_and_ended_is_answered(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        await ask(site, client, request("GET", "/healthz"), turns, ended=True)
        assert (await client.reply()).json() == {"status": "ok"}
        assert await client.read_to_end() == b""


async def test_a_poll_whose_client_has_ended(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        target = f"/v1/poll?token={mint()}"
        await ask(site, client, request("GET", target), turns, ended=True)
        assert await client.read_to_end() == b""
        await site.connections_end()
        assert not site.server.hub.sessions


async def test_a_stream_whose_client_has_ended(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        await ask(site, client, handshake(mint()), turns, ended=True)
        assert (await client.read_to_end()).startswith(b"HTTP/1.1 101 ")
        await site.connections_end()
        assert not site.server.hub.sessions


async def test_one_that_goes_before_its_turn(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        await client.write(request("GET", "/healthz"))
        await arrived(site, ended=False)
        (connection,) = site.server.connections
        connection.abort()
        await site.connections_end()
    (turn,) = turns
    turn()
    assert not site.server.connections
    assert not site.server.turned_away


async def test_the_end_alone(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        client.end()
        assert await client.read_to_end() == b""
    assert not turns
