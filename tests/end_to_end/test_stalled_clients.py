"""Many clients, some of which never read: the others get messages in time, and memory is bounded.

`bench/` has longer versions of both tests.
"""

import asyncio
import itertools
import json
import time
from contextlib import AsyncExitStack

import aiohttp
import pytest
from tests.helpers.server_process import server_process
from tests.helpers.site import Site, mint
from tests.helpers.wire import Wire, wire

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

READERS = 190
STALLED = 10
MESSAGES = 120
RATE_HZ = 40
MIB = 1024 * 1024


async def connect_stalled(stack: AsyncExitStack, site: Site, client_id: str) -> Wire:
    """Connect a client that reads the handshake and nothing after it."""
    client = await stack.enter_async_context(wire(site.port, receive_buffer_bytes=4096))
    await client.upgrade(mint(client_id))
    return client


async def read_stream(
    stack: AsyncExitStack, http: aiohttp.ClientSession, site: Site, number: int
) -> "asyncio.Task[list[float]]":
    """Connect, and return a task that reads all messages and returns their delays."""
    client = await stack.enter_async_context(
        http.ws_connect(f"{site.ws_url}/v1/connect?token={mint(f'reader {number}')}")
    )

    async def read() -> list[float]:
        delays: list[float] = []
        while True:
            frame = json.loads(await client.receive_str())
            if frame["number"] is None:
                return delays
            assert frame["number"] == len(delays)
            delays.append(time.monotonic() - frame["sent_at"])

    return asyncio.create_task(read())


async def test_readers_get_messages_in_time() -> None:
    padding = "x" * 8000
    async with (
        server_process("--ring-max-messages", "64") as site,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        AsyncExitStack() as stack,
    ):
        for number in range(STALLED):
            await connect_stalled(stack, site, f"stalled {number}")
        readers = [await read_stream(stack, http, site, number) for number in range(READERS)]
        assert (await site.stats())["sessions"] == READERS + STALLED

        started = time.monotonic()
        for sent in range(MESSAGES):
            frame = {"number": sent, "sent_at": time.monotonic(), "padding": padding}
            await site.send(json.dumps(frame), everyone=True)
            await asyncio.sleep(max(started + sent / RATE_HZ - time.monotonic(), 0))
        await site.send('{"number": null}', everyone=True)
        delays = sorted(itertools.chain(*await asyncio.gather(*readers)))

        assert len(delays) == MESSAGES * READERS  # nothing is lost; `read` checks the order
        # Generous, since the machine may be busy; on an idle one it is a few milliseconds.
        assert delays[len(delays) * 99 // 100] < 1.0
        stats = await site.stats()
        assert stats["slow_closed"] == STALLED
        assert stats["sessions"] == READERS
        assert stats["dropped"] == 0


@pytest.mark.parametrize("policy", ["close", "drop-oldest"])
async def test_messages_for_many_stalled_clients_are_stored_once(policy: str) -> None:
    stalled, size_bytes, count = 300, 32_000, 60
    data = "x" * size_bytes
    async with (
        server_process("--slow-consumer", policy, "--history-max-bytes", str(16 * MIB)) as site,
        AsyncExitStack() as stack,
    ):
        for number in range(stalled):
            await connect_stalled(stack, site, f"stalled {number}")
        assert (await site.stats())["sessions"] == stalled
        before = site.resident_bytes
        for _ in range(count):
            await site.send(data, everyone=True)
        stats = await site.stats()
        grown = site.resident_bytes - before
        if policy == "close":
            assert stats["slow_closed"] == stalled
        else:
            assert stats["sessions"] == stalled
            assert stats["dropped"] > 0
        # Less than one copy of one message per client; full rings of copies would be 300 MiB.
        assert grown < stalled * size_bytes
