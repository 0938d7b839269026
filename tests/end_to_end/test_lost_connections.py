"""Lost connections: delivery stops at once, and the session is removed later."""

import asyncio
import json
import socket
from collections.abc import Callable
from functools import partial

import pytest
from tests.helpers.client_bytes import client_frame
from tests.helpers.constants import set_server_constant
from tests.helpers.site import API_KEY, Site, mint, opened
from tests.helpers.wire import Wire, wire

from headrace.hub.session import SessionState
from headrace.messages.frames import PONG, TEXT
from headrace.server.connections.http_protocol import LOSS_BURST_MIN_COUNT
from headrace.server.connections.stream_protocol import StreamProtocol
from headrace.server.connections.websocket_protocol import FRAMES_PER_TURN_BYTES

Callbacks = list[Callable[[], None]]


@pytest.fixture
def cleanups(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callbacks:
    """The cleanups of the lost connections; the test runs them."""
    waiting: Callbacks = []
    monkeypatch.setattr(site.context.cleanup_queue, "submit", waiting.append)
    return waiting


def close_side(client: Wire) -> None:
    client.write_eof()


def reset(client: Wire) -> None:
    client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client._socket.close()


async def wait_until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


async def listen(client: Wire, path: str, token: str) -> None:
    """Open a WebSocket or an event stream, and read its first bytes."""
    if path == "/v1/connect":
        await client.upgrade(token)
        assert (await client.read_json())["type"] == "open"
    else:
        await client.write(f"GET {path}?token={token} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 200 " in await client.read_head()
        while b'"open"' not in await client.read_some():
            pass


@pytest.mark.parametrize("path", ["/v1/connect", "/v1/events"])
@pytest.mark.parametrize("lose", [close_side, reset])
async def test_delivery_stops_before_the_cleanup(
    site: Site, cleanups: Callbacks, path: str, lose: Callable[[Wire], None]
) -> None:
    async with wire(site.port) as client:
        await listen(client, path, mint())
        (session,) = site.core.sessions
        connection = session.sink
        assert isinstance(connection, StreamProtocol)
        lose(client)
        await wait_until(lambda: cleanups and connection not in site.context.connections)
        assert session.state is SessionState.CLOSED
        assert (await site.send("nobody receives it"))["sessions"] == 0
        connection.on_deadline(site.context.clocks.monotonic())  # no ping, no error
        (cleanup,) = cleanups
        cleanup()
        assert session not in site.core.sessions
        assert (await site.stats())["sessions"] == 0


async def test_client_that_closes_its_side_is_disconnected(site: Site) -> None:
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.read_json()
        client.write_eof()
        async with asyncio.timeout(5):
            assert await client.read_to_end() == b""


async def test_client_that_closes_its_side_and_does_not_read_is_aborted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_server_constant(monkeypatch, "CLOSE_TIMEOUT_S", 0.1)
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.read_json()
        (session,) = site.core.sessions
        connection = session.sink
        assert isinstance(connection, StreamProtocol)
        while session.state is not SessionState.PAUSED:
            await site.send("x" * 30_000)
        client.write_eof()
        await wait_until(lambda: not site.core.sessions)
        assert connection in site.context.connections  # its transport has unsent data
        await wait_until(lambda: connection not in site.context.connections)


async def test_reconnect_before_the_cleanup_misses_nothing(site: Site, cleanups: Callbacks) -> None:
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.read_json()
        reset(client)
        await wait_until(partial(len, cleanups))
    await site.send("between")
    async with site.connect(mint()) as reconnected:  # without a last_id
        await opened(reconnected)
        assert '"between"' in str(await reconnected.recv())
        cleanups.pop()()
        assert (await site.send("after"))["sessions"] == 1
        assert '"after"' in str(await reconnected.recv())


async def test_many_lost_at_once_are_all_removed(site: Site) -> None:
    async with asyncio.TaskGroup() as group:

        async def connect_and_reset(number: int) -> None:
            async with wire(site.port) as client:
                await client.upgrade(mint(f"client {number}"))
                await client.read_json()
                reset(client)

        for number in range(200):
            group.create_task(connect_and_reset(number))
    await wait_until(lambda: not site.core.sessions)
    assert not site.context.cleanup_queue.waiting
    assert (await site.stats())["sessions"] == 0


async def test_unread_input_of_a_lost_connection_is_ignored(
    site: Site, cleanups: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread: Callbacks = []
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.read_json()
        monkeypatch.setattr(site.context.input_budget, "defer", unread.append)
        renew = json.dumps({"type": "renew", "token": mint()}).encode()
        pongs = client_frame(PONG, b"x" * 100) * (FRAMES_PER_TURN_BYTES // 100)
        await client.write(pongs + client_frame(TEXT, renew))
        await wait_until(partial(len, unread))
        reset(client)
        (session,) = site.core.sessions
        assert isinstance(session.sink, StreamProtocol)
        session.sink.abort()  # reading is paused, so the reset would be noticed later
        await wait_until(partial(len, cleanups))
        await site.send("missed")
        unread.pop()()
        assert not unread
        cleanups.pop()()
    async with site.connect(mint()) as reconnected:
        await opened(reconnected)
        assert '"missed"' in str(await reconnected.recv())


async def test_during_a_loss_burst_messages_do_not_wait_for_the_end_of_the_tick(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: Callbacks = []
    monkeypatch.setattr(site.core, "_schedule", flushes.append)
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.read_json()
        assert (await site.send("waits"))["sessions"] == 1
        assert len(flushes) == 1
        for _ in range(LOSS_BURST_MIN_COUNT):
            site.context.cleanup_queue.defer(lambda: None)
        assert (await site.send("does not wait"))["sessions"] == 1
        async with asyncio.timeout(5):
            assert [(await client.read_json())["data"] for _ in range(2)] == [
                "waits",
                "does not wait",
            ]


@pytest.mark.parametrize("path", ["/v1/connect", "/v1/events"])
async def test_lost_sessions_get_no_close_from_a_revocation_or_a_shutdown(
    site: Site, cleanups: Callbacks, path: str
) -> None:
    async with wire(site.port) as revoked, wire(site.port) as other:
        await listen(revoked, path, mint("revoked"))
        await listen(other, path, mint("other"))
        reset(revoked)
        reset(other)
        await wait_until(lambda: len(cleanups) == 2)
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with site.http.delete(f"{site.url}/v1/channels/revoked", headers=headers) as response:
        assert response.status == 200
    assert [session.client_id for session in site.core.sessions] == ["other"]
    await site.server.stop()
    resume_points = site.core.subscriptions.resume_points()
    assert [client_id for client_id, _ in resume_points] == ["revoked", "other"]
