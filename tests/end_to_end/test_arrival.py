"""New connections wait for their turn before their first request is handled."""

import asyncio
from collections.abc import Callable

import pytest
from tests.helpers.site import Site, mint
from tests.helpers.wire import Wire, handshake, request, wire

from headrace.protocol.http.states import HttpState
from headrace.server.connections.http_phases import HttpPhase
from headrace.server.connections.http_protocol import HttpProtocol

Turns = list[Callable[[], None]]


@pytest.fixture
def turns(site: Site, monkeypatch: pytest.MonkeyPatch) -> Turns:
    """The turns of the new connections; the test runs them."""
    waiting: Turns = []
    monkeypatch.setattr(site.context.tick_budget, "submit", waiting.append)
    return waiting


async def wait_until(condition: Callable[[HttpProtocol], object], site: Site) -> None:
    """Wait until the only connection meets the condition, while it waits for its turn."""
    while True:
        for connection in site.context.connections:
            assert isinstance(connection, HttpProtocol)
            assert connection._phase is HttpPhase.WAITING
            if condition(connection):
                return
        await asyncio.sleep(0)


def has_received(connection: HttpProtocol) -> bool:
    return connection._http.state is not HttpState.IDLE


def has_received_more(connection: HttpProtocol) -> bool:
    return not connection._transport.is_reading()


def peer_has_ended(connection: HttpProtocol) -> bool:
    return connection._http.peer_ended


async def send_and_end(site: Site, client: Wire, data: bytes, turns: Turns) -> None:
    """Send `data`, close the client's side, and run the connection's turn."""
    await client.write(data)
    await wait_until(has_received, site)
    client.write_eof()
    await wait_until(peer_has_ended, site)
    (turn,) = turns
    turns.clear()
    turn()


async def test_first_bytes_in_pieces_have_one_turn(site: Site, turns: Turns) -> None:
    data = request("GET", "/healthz")
    async with wire(site.port) as client:
        await client.write(data[:9])
        await wait_until(has_received, site)
        await client.write(data[9:])
        await wait_until(has_received_more, site)
        (turn,) = turns
        turns.clear()
        turn()
        assert (await client.read_response()).json() == {"status": "ok"}
        assert (await client.fetch("GET", "/healthz")).status == 200
    assert not turns


async def test_request_is_answered_after_client_closed_its_side(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        await send_and_end(site, client, request("GET", "/healthz"), turns)
        assert (await client.read_response()).json() == {"status": "ok"}
        assert await client.read_to_end() == b""


async def test_poll_whose_client_closed_its_side(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        target = f"/v1/poll?token={mint()}"
        await send_and_end(site, client, request("GET", target), turns)
        assert await client.read_to_end() == b""
        await site.wait_for_connections()
        assert not site.core.sessions


async def test_websocket_whose_client_closed_its_side(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        await send_and_end(site, client, handshake(mint()), turns)
        assert (await client.read_to_end()).startswith(b"HTTP/1.1 101 ")
        await site.wait_for_connections()
        assert not site.core.sessions


async def test_connection_lost_before_its_turn(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        await client.write(request("GET", "/healthz"))
        await wait_until(has_received, site)
        (connection,) = site.context.connections
        connection.abort()
        await site.wait_for_connections()
    (turn,) = turns
    turn()
    assert not site.context.connections
    assert not site.context.refused


async def test_client_that_closes_its_side_without_a_request(site: Site, turns: Turns) -> None:
    async with wire(site.port) as client:
        client.write_eof()
        assert await client.read_to_end() == b""
    assert not turns
