"""Attacks on memory: unfinished bodies and unread responses of one client, and of many."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from tests.helpers.client_bytes import client_frame
from tests.helpers.site import Site, mint, open_site
from tests.helpers.wire import Wire, request, wire

from headrace.messages import frames
from headrace.server import memory_budget
from headrace.server.memory_budget import CLIENT_MAX_BYTES

DATA = "x" * 30_000


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as opened:
        yield opened


@pytest.fixture
def small_total(site: Site) -> int:
    """Let the server hold a fraction of a megabyte for all peers."""
    site.context.memory.total_max_bytes = 600_000
    return 600_000


def unfinished(token: str, announced: int) -> bytes:
    return (
        b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (token.encode(), announced)
    )


async def connect(stack: AsyncExitStack, site: Site, count: int) -> list[Wire]:
    """Return connections that read little at a time."""
    return [
        await stack.enter_async_context(wire(site.port, receive_buffer_bytes=4096))
        for _ in range(count)
    ]


async def test_a_client_cannot_send_a_body_far_over_its_longest_message(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(unfinished(mint(), 1024 * 1024))
        assert (await client.read_response()).status == 413


async def test_the_longest_message_fits_in_every_escape(site: Site) -> None:
    body = b'{"data":"%b","group":"g"}' % (b"\\u0061" * site.server.hub.settings.message_max_bytes)
    token = mint(send=["group:g"])
    async with wire(site.port) as client:
        await client.write(unfinished(token, len(body)) + body)
        assert (await client.read_response()).status == 200


async def test_a_body_that_arrives_with_its_head_has_the_same_limit() -> None:
    async with open_site(message_max_bytes=10) as site, wire(site.port) as client:
        body = b'{"data":"x"%b}' % (b" " * 70_000)
        await client.write(unfinished(mint(), len(body)) + body)
        assert (await client.read_response()).status == 413


async def test_unfinished_bodies_of_one_client_are_limited(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_budget, "CLIENT_MAX_BYTES", 500_000)
    part = b" " * 200_000
    async with AsyncExitStack() as stack:
        clients = await connect(stack, site, 6)
        for client in clients:
            await client.write(unfinished(mint(), len(part) + 1) + part)
        responses = [client.read_response() for client in clients]
        refused, waiting = await asyncio.wait(map(asyncio.ensure_future, responses), timeout=0.5)
        assert {task.result().status for task in refused} == {429}
        assert len(waiting) == 2
        assert site.context.memory.total_bytes <= 500_000
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        async with wire(site.port) as other:  # other clients are not affected
            await other.write(unfinished(mint("bob"), 12) + b'{"data":"x"}')
            assert (await other.read_response()).status == 403
    await site.wait_for_connections(1)
    assert site.context.memory.total_bytes == 0


async def test_unread_polls_of_one_client_are_limited(site: Site) -> None:
    for _ in range(40):
        await site.send(DATA)
    poll = request("GET", f"/v1/poll?last_id=1-0&token={mint()}")
    async with AsyncExitStack() as stack:
        for client in await connect(stack, site, 20):
            await client.write(poll)
            await asyncio.sleep(0.01)
        assert site.context.memory.total_bytes < CLIENT_MAX_BYTES + 2 * 1024 * 1024
        async with wire(site.port) as client:
            await client.write(poll)
            response = await client.read_response()
            assert response.status == 429
            assert response.headers["retry-after"] == "1"
        async with wire(site.port) as other:
            await other.write(request("GET", f"/v1/poll?token={mint('bob')}&last_id=1-0"))
            assert (await other.read_response()).status == 200


async def test_of_many_clients_the_largest_holders_are_aborted(
    site: Site, small_total: int, caplog: pytest.LogCaptureFixture
) -> None:
    part = b" " * 100_000
    async with AsyncExitStack() as stack:
        for number, client in enumerate(await connect(stack, site, 20)):
            await client.write(unfinished(mint(f"client {number}"), len(part) + 1) + part[:99_000])
            await asyncio.sleep(0)
        async with wire(site.port) as other:
            assert (await other.fetch("GET", "/healthz")).status == 200
        assert site.context.memory.total_bytes <= small_total
    assert "unfinished requests and unread responses held" in caplog.text


async def test_incomplete_websocket_messages_are_limited(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_budget, "CLIENT_MAX_BYTES", 500_000)
    fragment = client_frame(frames.TEXT, b" " * 200_000, fin=False)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(wire(site.port)) for _ in range(3)]
        for client in clients:
            await client.upgrade(mint())
            await client.read_json()
            await client.write(fragment)
        await site.wait_for_connections(2)
        # What a lost connection held is given back a moment later, by the cleanup queue.
        while site.context.memory.total_bytes > 500_000:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.01)
