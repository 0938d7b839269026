"""Slow clients: others are not affected, and lost messages are always reported."""

import asyncio
from itertools import pairwise

import msgspec
from tests.end_to_end.conftest import Serve
from tests.helpers.site import Json, Site, opened, recv
from tests.helpers.wire import Wire, wire
from websockets.exceptions import ConnectionClosed

from headrace.hub.session import FLUSH_MAX_BYTES
from headrace.server.connections.stream_protocol import WRITE_HIGH_WATER_BYTES

BIG = "x" * 32_000


async def send_until(site: Site, name: str, *, at_least: int = 1) -> list[str]:
    """Send to alice until `stats()[name]` is `at_least`; return the ids."""
    ids: list[str] = []
    while (await site.stats())[name] < at_least:
        ids += [(await site.send(f"{len(ids) + number} {BIG}"))["id"] for number in range(10)]
    return ids


async def read_to_close(client: Wire) -> tuple[list[Json], int | None]:
    """Return all frames, and the close code, or None if there was no close frame."""
    received: list[Json] = []
    while True:
        try:
            opcode, payload = await client.read_frame()
        except (EOFError, ConnectionResetError):
            return received, None
        if opcode == 0x8:
            return received, int.from_bytes(payload[:2], "big")
        received.append(msgspec.json.decode(payload))


async def test_client_that_never_reads_is_closed_and_can_resume(site: Site) -> None:
    token = await site.channel()
    async with (
        wire(site.port, receive_buffer_bytes=4096) as stalled,
        site.connect(token, max_queue=None) as reader,
    ):
        await stalled.upgrade(token)
        first = await stalled.read_json()
        assert first["type"] == "open"
        await opened(reader)
        sent = await send_until(site, "slow_closed")
        # The other session got everything, in order, and is still open.
        assert [(await recv(reader))["id"] for _ in sent] == sent
        assert (await site.stats())["sessions"] == 1
        sent.append((await site.send("the last"))["id"])
        assert (await recv(reader))["data"] == "the last"

        frames, code = await read_to_close(stalled)
        assert code in (4008, None)  # aborted, if the close frame could not be sent in time
        ids = [frame["id"] for frame in frames]
        assert ids == sent[: len(ids)]
        last_id = ids[-1] if ids else first["id"]
        async with site.connect(token, f"?last_id={last_id}") as resumed:
            assert (await opened(resumed))["recovered"] is True
            missed = [await recv(resumed) for _ in sent[len(ids) :]]
            assert [frame["id"] for frame in missed] == sent[len(ids) :]
            assert missed[-1]["data"] == "the last"


async def test_client_that_reads_again_gets_close_code_4008(serve: Serve) -> None:
    site = await serve(ring_max_messages=4)
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as slow:
        await slow.upgrade(token)
        await slow.read_json()
        await send_until(site, "slow_closed")
        _, code = await read_to_close(slow)
        assert code == 4008


async def test_drop_oldest_reports_the_gap(serve: Serve) -> None:
    site = await serve(slow_consumer="drop-oldest", ring_max_messages=8)
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as slow:
        await slow.upgrade(token)
        await slow.read_json()
        sent = await send_until(site, "dropped", at_least=5)
        stats = await site.stats()
        assert (stats["slow_closed"], stats["sessions"]) == (0, 1)
        dropped = stats["dropped"]

        received: list[Json] = []
        while not received or received[-1].get("id") != sent[-1]:
            received.append(await slow.read_json())
        assert all(set(frame) == {"id", "data"} for frame in received if "type" not in frame)
        (index,) = [number for number, frame in enumerate(received) if "type" in frame]
        gap = received.pop(index)
        assert list(gap) == ["type", "after", "before"]
        assert gap["type"] == "gap"
        assert gap["after"] == (received[index - 1]["id"] if index else None)
        assert gap["before"] == received[index]["id"]
        ids = [frame["id"] for frame in received]
        lost = sent[sent.index(gap["after"]) + 1 : sent.index(gap["before"])]
        assert len(lost) == dropped
        assert ids == [each for each in sent if each not in lost]
        # Delivery continues as before.
        after = await site.send("after")
        assert await slow.read_json() == {"id": after["id"], "data": "after"}


async def test_write_buffer_of_one_connection_is_limited(site: Site) -> None:
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as stalled:
        await stalled.upgrade(token)
        buffered = []
        for _ in range(30):
            await site.send(BIG)
            buffered.append(site.largest_write_buffer())
        bound = WRITE_HIGH_WATER_BYTES + FLUSH_MAX_BYTES + 2 * len(BIG)
        assert WRITE_HIGH_WATER_BYTES < max(buffered) < bound
        assert buffered[-1] == buffered[-2]  # the rest stays in the ring, as references


async def test_client_that_does_not_read_is_aborted_after_write_timeout_s(serve: Serve) -> None:
    site = await serve(write_timeout_s=0.4, ring_max_bytes=1 << 24)
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as stalled, site.connect(token) as reader:
        await stalled.upgrade(token)
        await opened(reader)
        for _ in range(20):
            await site.send(BIG)
            await recv(reader)
        started = asyncio.get_running_loop().time()
        await site.wait_for_connections(2)  # the reader and the application's HTTP client
        assert asyncio.get_running_loop().time() - started < 5
        assert (await site.send("x"))["sessions"] == 1
        assert (await recv(reader))["data"] == "x"


async def test_slow_but_steady_reader_is_not_aborted(serve: Serve) -> None:
    site = await serve(write_timeout_s=0.4, ring_max_bytes=1 << 24)
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as slow:
        await slow.upgrade(token)
        await slow.read_json()
        sent = [(await site.send(f"{number} {BIG}"))["id"] for number in range(100)]
        started = asyncio.get_running_loop().time()
        got = []
        for number in range(100):
            got.append((await slow.read_json())["id"])
            # At this pace, reading takes longer than the timeout.
            until = started + number * 0.012
            await asyncio.sleep(max(until - asyncio.get_running_loop().time(), 0))
        assert got == sent
        assert asyncio.get_running_loop().time() - started > 0.8


async def test_messages_are_in_order_after_a_stall(serve: Serve) -> None:
    site = await serve(ring_max_bytes=1 << 24)
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.upgrade(token)
        await client.read_json()
        sent = [(await site.send(f"{number} {BIG}"))["id"] for number in range(60)]
        got = [await client.read_json() for _ in sent]
        assert [frame["id"] for frame in got] == sent
        numbers = [int(frame["data"].split()[0]) for frame in got]
        assert all(after == before + 1 for before, after in pairwise(numbers))


async def test_slow_group_member_does_not_affect_its_group(site: Site) -> None:
    stalled_token = await site.channel("stalled", groups=["g"])
    async with wire(site.port, receive_buffer_bytes=4096) as stalled:
        await stalled.upgrade(stalled_token)
        async with site.connect(await site.channel("reader", groups=["g"])) as reader:
            await opened(reader)
            for number in range(100):
                await site.send(f"{number} {BIG}", group="g")
                assert (await recv(reader))["data"].startswith(f"{number} ")
            stats = await site.stats()
            assert (stats["slow_closed"], stats["sessions"]) == (1, 1)


async def test_stalled_client_of_another_library_can_resume(serve: Serve) -> None:
    """`websockets` stops reading when its queue is full."""
    site = await serve(ring_max_messages=16)
    token = await site.channel()
    ids: list[str] = []
    async with site.connect(token, max_queue=1) as client:
        await opened(client)
        sent = await send_until(site, "slow_closed")
        try:
            while True:
                ids.append((await recv(client))["id"])
        except ConnectionClosed:
            pass
    async with site.connect(token, f"?last_id={ids[-1]}") as client:
        assert (await opened(client))["recovered"] is True
        ids += [(await recv(client))["id"] for _ in sent[len(ids) :]]
    assert ids == sent
