"""Publishing to 10,000 sessions of a real hub core, with sinks that discard everything.

This is Headrace's own cost of a delivery, without the kernel's; `bench/system/fanout.py` measures
both.
"""

import time
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from headrace.auth.tokens import Claims
from headrace.hub.core import Clocks, HubCore
from headrace.messages.entries import Entry
from headrace.messages.message import Encodable, Encoding
from headrace.messages.position import Position
from headrace.messages.validation import check_entry
from headrace.settings import Settings

SESSIONS = 10_000
SETTINGS = Settings(ring_max_messages=10**6, ring_max_bytes=10**9)


class CountingSink:
    """Has each message encoded, as a connection would, and counts it."""

    __slots__ = ("delivered",)

    def __init__(self) -> None:
        self.delivered = 0

    def deliver(self, what: Encodable, _: float) -> None:
        what.encode(Encoding.V1)
        self.delivered += 1

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"closed with {code}: {reason}")


class LoadedHub:
    """A hub core with 10,000 sessions. `tick` does the work of one event loop tick."""

    def __init__(self) -> None:
        self._scheduled: list[Callable[[], None]] = []
        clocks = Clocks(time.monotonic, time.time)
        self.core = HubCore(SETTINGS, clocks, self._scheduled.append, lambda _: None)
        self.sinks = [CountingSink() for _ in range(SESSIONS)]
        self.sessions = []
        for number, sink in enumerate(self.sinks):
            claims = Claims(f"client-{number}", time.time() + 7200, groups=("lobby",))
            self.sessions.append(self.core.attach(claims, sink))

    def tick(self, *entries: Entry) -> None:
        """Check and apply all entries, then run what was scheduled for the end of the tick."""
        for entry in entries:
            check_entry(
                entry,
                message_max_bytes=SETTINGS.message_max_bytes,
                client_id_max_bytes=SETTINGS.client_id_max_bytes,
            )
            latest = self.core.history.latest
            self.core.apply(entry, Position(latest.ms, latest.seq + 1))
        while self._scheduled:
            self._scheduled.pop()()


@pytest.fixture
def hub() -> LoadedHub:
    return LoadedHub()


@pytest.mark.parametrize("messages", [1, 10])
@pytest.mark.parametrize(
    "target",
    [
        Entry(data="x" * 128, everyone=True),
        Entry(data="x" * 128, group="lobby"),
        Entry(data="x" * 128, to=tuple(f"client-{number}" for number in range(SESSIONS))),
    ],
    ids=["everyone", "group", "10000-clients"],
)
def test_publish(benchmark: BenchmarkFixture, hub: LoadedHub, target: Entry, messages: int) -> None:
    benchmark(hub.tick, *[target] * messages)
    ticks, remainder = divmod(hub.core.counters.deliveries, SESSIONS * messages)
    assert ticks >= 1
    assert remainder == 0


def test_publish_to_one_of_many(benchmark: BenchmarkFixture, hub: LoadedHub) -> None:
    benchmark(hub.tick, Entry(data="x" * 128, to=("client-77",)))
    assert hub.sinks[77].delivered > 1


def test_publish_to_paused_sessions(benchmark: BenchmarkFixture, hub: LoadedHub) -> None:
    """The cost of stalled clients to the others: a push for each, and nothing at the flush."""
    for session in hub.sessions:
        session.pause()
    benchmark(hub.tick, Entry(data="x" * 128, everyone=True))
    assert hub.core.counters.deliveries == 0
    assert hub.core.counters.slow_closed == 0
