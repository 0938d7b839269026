"""Quiet lines: who is pinged, how, and who is cut."""

import asyncio

from tests.server.conftest import Serve
from tests.server.kit import mint, opened, recv
from tests.server.wire import masked, wire

from headrace import frames

INTERVAL_S = 0.3


async def test_a_quiet_v1_client_gets_both_pings(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.json()
        found = [await client.frame() for _ in range(2)]
        assert sorted(found) == [(frames.TEXT, b'{"type":"ping"}'), (frames.PING, b"")]


async def test_a_quiet_bare_client_gets_the_protocols_ping_alone(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    async with wire(site.port) as client:
        await client.upgrade(mint(), v1=False)
        for _ in range(3):
            assert await client.frame() == (frames.PING, b"")
            await client.write(masked(frames.PONG, b""))


async def test_who_answers_stays_and_is_pinged_each_interval(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    loop = asyncio.get_running_loop()
    async with site.connect(mint(), ping_interval=None) as client:
        await opened(client)
        started = loop.time()
        for _ in range(5):
            assert await recv(client) == {"type": "ping"}
        assert 4 * INTERVAL_S < loop.time() - started < 12 * INTERVAL_S
        await site.send("still here")
        assert (await recv(client))["data"] == "still here"


async def test_a_busy_v1_client_gets_no_text_ping(serve: Serve) -> None:
    site = await serve(ping_interval_s=1)
    loop = asyncio.get_running_loop()
    async with site.connect(mint()) as client:
        await opened(client)
        until = loop.time() + 1.5
        while loop.time() < until:
            await site.send("busy")
            assert (await recv(client))["data"] == "busy"


async def test_a_peer_that_answers_no_ping_is_cut_within_two_intervals(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    loop = asyncio.get_running_loop()
    for v1 in (True, False):
        async with wire(site.port) as client:
            started = loop.time()
            await client.upgrade(mint(), v1=v1)
            await client.read_until_cut()
            assert INTERVAL_S < loop.time() - started < 2 * INTERVAL_S + 2
    assert (await site.stats())["sessions"] == 0


async def test_whatever_comes_shows_that_the_peer_lives(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    async with wire(site.port) as client:
        await client.upgrade(mint(), v1=False)
        for _ in range(4):  # twice as long as silence would last
            assert await client.frame() == (frames.PING, b"")
            await client.write(masked(frames.TEXT, b"no pong"))


async def test_a_dead_peer_that_is_sent_to_all_the_time_is_cut_too(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    async with wire(site.port) as client:
        await client.upgrade(mint())
        while (await site.send("x"))["sessions"]:
            pass
        await client.read_until_cut()


async def test_one_that_reads_slowly_is_not_cut_for_a_ping_it_has_not_come_to(
    serve: Serve,
) -> None:
    site = await serve(ping_interval_s=INTERVAL_S, ring_max_bytes=1 << 24)
    loop = asyncio.get_running_loop()
    async with wire(site.port, receive_buffer_bytes=4096) as slow:
        await slow.upgrade(mint(), v1=False)
        for _ in range(100):
            assert (await site.send("x" * 32_000))["sessions"] == 1
        started, got = loop.time(), 0
        while got < 100:
            opcode, payload = await slow.frame()
            if opcode == frames.PING:
                await slow.write(masked(frames.PONG, payload))
                continue
            got += 1
            # The pace is the test: a ping waits behind more than two intervals' reading.
            await asyncio.sleep(max(started + got * INTERVAL_S / 10 - loop.time(), 0))
