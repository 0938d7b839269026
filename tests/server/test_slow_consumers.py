"""A client that does not read hurts nobody else, and loses nothing or is told what it lost."""

import asyncio
from itertools import pairwise

import msgspec
from tests.server.conftest import Serve
from tests.server.kit import Json, Site, opened, recv
from tests.server.wire import Wire, wire
from websockets.exceptions import ConnectionClosed

from headrace import limits

BIG = "x" * 32_000


async def send_until(site: Site, name: str, *, at_least: int = 1) -> list[str]:
    """Send to alice until `stats()[name]` says `at_least`; return the ids."""
    ids: list[str] = []
    while (await site.stats())[name] < at_least:
        ids += [(await site.send(f"{len(ids) + number} {BIG}"))["id"] for number in range(10)]
    return ids


async def read_messages(client: Wire) -> tuple[list[Json], int | None]:
    """Read to the end: the frames, and the close code if the connection came so far."""
    found: list[Json] = []
    while True:
        try:
            opcode, payload = await client.frame()
        except (EOFError, ConnectionResetError):
            return found, None
        if opcode == 0x8:
            return found, int.from_bytes(payload[:2], "big")
        found.append(msgspec.json.decode(payload))


async def test_one_that_never_reads_is_closed_and_can_resume_without_a_loss(site: Site) -> None:
    token = await site.channel()
    async with (
        wire(site.port, receive_buffer_bytes=4096) as stalled,
        site.connect(token, max_queue=None) as reader,
    ):
        await stalled.upgrade(token)
        first = await stalled.json()
        assert first["type"] == "open"
        await opened(reader)
        sent = await send_until(site, "slow_closed")
        # The other one was given everything, in order, and is still there.
        assert [(await recv(reader))["id"] for _ in sent] == sent
        assert (await site.stats())["sessions"] == 1
        sent.append((await site.send("the last"))["id"])
        assert (await recv(reader))["data"] == "the last"

        got, code = await read_messages(stalled)
        assert code in (4008, None)  # cut, where even the goodbye found no place in time
        ids = [frame["id"] for frame in got]
        assert ids == sent[: len(ids)]
        last_id = ids[-1] if ids else first["id"]
        async with site.connect(token, f"?last_id={last_id}") as resumed:
            assert (await opened(resumed))["recovered"] is True
            missed = [await recv(resumed) for _ in sent[len(ids) :]]
            assert [frame["id"] for frame in missed] == sent[len(ids) :]
            assert missed[-1]["data"] == "the last"


async def test_one_that_reads_in_time_is_told_4008(serve: Serve) -> None:
    site = await serve(ring_max_messages=4)
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as slow:
        await slow.upgrade(token)
        await slow.json()
        await send_until(site, "slow_closed")
        _, code = await read_messages(slow)
        assert code == 4008


async def test_drop_oldest_tells_the_gap(serve: Serve) -> None:
    site = await serve(slow_consumer="drop-oldest", ring_max_messages=8)
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as slow:
        await slow.upgrade(token)
        await slow.json()
        sent = await send_until(site, "dropped", at_least=5)
        stats = await site.stats()
        assert (stats["slow_closed"], stats["sessions"]) == (0, 1)
        dropped = stats["dropped"]

        found: list[Json] = []
        while not found or found[-1].get("id") != sent[-1]:
            found.append(await slow.json())
        assert all(set(frame) == {"id", "data"} for frame in found if "type" not in frame)
        (place,) = [number for number, frame in enumerate(found) if "type" in frame]
        gap = found.pop(place)
        assert list(gap) == ["type", "after", "before"]
        assert gap["type"] == "gap"
        assert gap["after"] == (found[place - 1]["id"] if place else None)
        assert gap["before"] == found[place]["id"]
        ids = [frame["id"] for frame in found]
        lost = sent[sent.index(gap["after"]) + 1 : sent.index(gap["before"])]
        assert len(lost) == dropped
        assert ids == [each for each in sent if each not in lost]
        # It goes on as if nothing had been.
        after = await site.send("after")
        assert await slow.json() == {"id": after["id"], "data": "after"}


async def test_what_one_socket_holds_is_bounded(site: Site) -> None:
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as stalled:
        await stalled.upgrade(token)
        held = []
        for _ in range(30):
            await site.send(BIG)
            held.append(max(c._transport.get_write_buffer_size() for c in site.server.connections))
        bound = limits.WRITE_HIGH_WATER_BYTES + limits.FLUSH_MAX_BYTES + 2 * len(BIG)
        assert limits.WRITE_HIGH_WATER_BYTES < max(held) < bound
        assert held[-1] == held[-2]  # the rest waits in the ring, as references


async def test_one_that_takes_nothing_for_write_timeout_s_is_cut(serve: Serve) -> None:
    site = await serve(write_timeout_s=0.4, ring_max_bytes=1 << 24)
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as stalled, site.connect(token) as reader:
        await stalled.upgrade(token)
        await opened(reader)
        for _ in range(20):
            await site.send(BIG)
            await recv(reader)
        started = asyncio.get_running_loop().time()
        await site.connections_end(left=2)  # the reader and the application
        assert asyncio.get_running_loop().time() - started < 5
        assert (await site.send("x"))["sessions"] == 1
        assert (await recv(reader))["data"] == "x"


async def test_one_that_reads_slowly_and_steadily_is_not_cut(serve: Serve) -> None:
    site = await serve(write_timeout_s=0.4, ring_max_bytes=1 << 24)
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as slow:
        await slow.upgrade(token)
        await slow.json()
        sent = [(await site.send(f"{number} {BIG}"))["id"] for number in range(100)]
        started = asyncio.get_running_loop().time()
        got = []
        for number in range(100):
            got.append((await slow.json())["id"])
            # The pace is the test: all of it takes longer than the time-out.
            until = started + number * 0.012
            await asyncio.sleep(max(until - asyncio.get_running_loop().time(), 0))
        assert got == sent
        assert asyncio.get_running_loop().time() - started > 0.8


async def test_after_a_stall_everything_comes_in_order(serve: Serve) -> None:
    site = await serve(ring_max_bytes=1 << 24)
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.upgrade(token)
        await client.json()
        sent = [(await site.send(f"{number} {BIG}"))["id"] for number in range(60)]
        got = [await client.json() for _ in sent]
        assert [frame["id"] for frame in got] == sent
        places = [int(frame["data"].split()[0]) for frame in got]
        assert all(after == before + 1 for before, after in pairwise(places))


async def test_a_slow_group_member_does_not_stop_its_group(site: Site) -> None:
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


async def test_a_real_client_that_stalls_resumes_without_a_loss(serve: Serve) -> None:
    """`websockets` stops reading when its own queue is full."""
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
