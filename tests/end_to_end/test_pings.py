"""Idle connections: which pings they get, and when they are aborted."""

import asyncio

from tests.end_to_end.conftest import Serve
from tests.helpers.client_bytes import client_frame
from tests.helpers.site import mint, opened, recv
from tests.helpers.wire import wire

from headrace.messages import frames

INTERVAL_S = 0.3


async def test_idle_v1_client_gets_both_pings(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.read_json()
        found = [await client.read_frame() for _ in range(2)]
        assert sorted(found) == [(frames.TEXT, b'{"type":"ping"}'), (frames.PING, b"")]


async def test_idle_bare_client_gets_only_protocol_pings(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    async with wire(site.port) as client:
        await client.upgrade(mint(), v1=False)
        for _ in range(3):
            assert await client.read_frame() == (frames.PING, b"")
            await client.write(client_frame(frames.PONG, b""))


async def test_client_that_answers_is_pinged_each_interval(serve: Serve) -> None:
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


async def test_busy_v1_client_gets_no_text_ping(serve: Serve) -> None:
    site = await serve(ping_interval_s=1)
    loop = asyncio.get_running_loop()
    async with site.connect(mint()) as client:
        await opened(client)
        until = loop.time() + 1.5
        while loop.time() < until:
            await site.send("busy")
            assert (await recv(client))["data"] == "busy"


async def test_client_that_answers_no_ping_is_aborted_within_two_intervals(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    loop = asyncio.get_running_loop()
    for v1 in (True, False):
        async with wire(site.port) as client:
            started = loop.time()
            await client.upgrade(mint(), v1=v1)
            await client.read_until_closed()
            assert INTERVAL_S < loop.time() - started < 2 * INTERVAL_S + 2
    assert (await site.stats())["sessions"] == 0


async def test_any_data_counts_as_a_sign_of_life(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    async with wire(site.port) as client:
        await client.upgrade(mint(), v1=False)
        for _ in range(4):  # a silent client would be aborted after two
            assert await client.read_frame() == (frames.PING, b"")
            await client.write(client_frame(frames.TEXT, b"no pong"))


async def test_busy_client_that_answers_no_ping_is_aborted(serve: Serve) -> None:
    site = await serve(ping_interval_s=INTERVAL_S)
    async with wire(site.port) as client:
        await client.upgrade(mint())
        while (await site.send("x"))["sessions"]:
            pass
        await client.read_until_closed()


async def test_slow_reader_is_not_aborted_for_an_unread_ping(
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
            opcode, payload = await slow.read_frame()
            if opcode == frames.PING:
                await slow.write(client_frame(frames.PONG, payload))
                continue
            got += 1
            # At this pace a ping waits behind the data of more than two intervals.
            await asyncio.sleep(max(started + got * INTERVAL_S / 10 - loop.time(), 0))
