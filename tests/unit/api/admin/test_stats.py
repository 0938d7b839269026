"""api/admin/stats.py: sizes, counters, and the sessions with the longest backlogs."""

import msgspec
import pytest
from tests.helpers.fakes import ManualClock, MemorySink, claims_of
from tests.helpers.fakes_asyncio import new_hub, request_head

from headrace.api.admin.stats import stats, stats_of
from headrace.api.context import ApiContext
from headrace.api.hub import Hub
from headrace.api.router import Request
from headrace.errors import InputError
from headrace.messages.wire import SessionBacklog, Stats
from headrace.version import __version__


async def get(hub: Hub, query: str = "") -> Stats:
    head = request_head(target=f"/v1/stats{query}")
    response = await stats(Request(ApiContext(hub), head, {}, None))
    return msgspec.json.decode(response.body, type=Stats)


async def test_the_statistics_of_a_hub() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks) as hub:
        for client_id in ("ada", "ada", "bob"):
            hub.core.attach(claims_of(client_id, groups=("lobby",)), MemorySink())
        clock.advance(1.2345678)
        await hub.send("x", to="ada")
        await hub.send("x", to="nobody")
        hub.core.flush()
        assert await get(hub) == Stats(
            version=__version__,
            uptime_s=1.235,
            sessions=3,
            clients=2,
            groups=1,
            messages=2,
            deliveries=2,
            dropped=0,
            slow_closed=0,
            history_bytes=hub.core.history.size_bytes,
        )
        assert hub.core.history.size_bytes > 0


async def test_slow_sessions_are_counted() -> None:
    async with new_hub(ring_max_messages=1, slow_consumer="drop-oldest") as hub:
        hub.core.attach(claims_of("ada"), MemorySink()).pause()
        for _ in range(3):
            await hub.send("x", to="ada")
        assert stats_of(hub).dropped == 2
    async with new_hub(ring_max_messages=1) as hub:
        hub.core.attach(claims_of("ada"), MemorySink()).pause()
        for _ in range(3):
            await hub.send("x", to="ada")
        assert stats_of(hub).slow_closed == 1


async def test_the_sessions_with_the_most_waiting_messages() -> None:
    async with new_hub() as hub:
        for name in ("none", "two", "one", "three"):
            hub.core.attach(claims_of(name), MemorySink()).pause()
        for name in ("two", "three", "one", "three", "two", "three"):
            await hub.send("x", to=name)
        assert (await get(hub)).slowest is msgspec.UNSET
        assert (await get(hub, "?slowest=2")).slowest == (
            SessionBacklog("three", 3),
            SessionBacklog("two", 2),
        )
        listed = (await get(hub, "?slowest=100")).slowest
        assert listed is not msgspec.UNSET
        assert [each.messages for each in listed] == [3, 2, 1]


@pytest.mark.parametrize("count", ["", "0", "101", "-1", "1.5", "x", "\u0665", "1" * 5000])
async def test_a_number_that_cannot_be_used(count: str) -> None:
    async with new_hub() as hub:
        with pytest.raises(InputError, match="it must be a number from 1 to 100"):
            await get(hub, f"?slowest={count}")
