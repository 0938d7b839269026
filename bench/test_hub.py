"""Publish to 10,000 sessions of the real hub, whose sinks keep nothing.

So this is Headrace's own cost of a delivery, without the kernel's; `fanout.py` measures both.
"""

import time
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from headrace.entries import Entry
from headrace.hub import Clocks, Hub
from headrace.message import Encodable, Form
from headrace.position import PositionCounter
from headrace.settings import Settings
from headrace.tokens import Claims

SESSIONS = 10_000


class CountingSink:
    """Asks for the encoded form, as a socket would, and counts."""

    __slots__ = ("delivered",)

    def __init__(self) -> None:
        self.delivered = 0

    def deliver(self, what: Encodable, _: float) -> None:
        what.encoded(Form.V1)
        self.delivered += 1

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"closed with {code}: {reason}")


class Server:
    """A hub with 10,000 sessions; `tick` is one turn of an event loop."""

    def __init__(self) -> None:
        self._scheduled: list[Callable[[], None]] = []
        self._positions = PositionCounter()
        settings = Settings(ring_max_messages=10**6, ring_max_bytes=10**9)
        self.hub = Hub(settings, Clocks(time.monotonic, time.time), self._scheduled.append)
        self.sinks = [CountingSink() for _ in range(SESSIONS)]
        self.sessions = []
        for number, sink in enumerate(self.sinks):
            claims = Claims(f"client-{number}", time.time() + 7200, groups=("lobby",))
            self.sessions.append(self.hub.attach(claims, sink))

    def tick(self, *entries: Entry) -> None:
        """Send all entries, then do what was put off to the end of the tick."""
        for entry in entries:
            self.hub.check(entry)
            self.hub.apply(entry, self._positions.next(int(time.time() * 1000)))
        while self._scheduled:
            self._scheduled.pop()()


@pytest.fixture
def server() -> Server:
    return Server()


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
def test_publish(benchmark: BenchmarkFixture, server: Server, target: Entry, messages: int) -> None:
    benchmark(server.tick, *[target] * messages)
    ticks, rest = divmod(server.hub.counters.deliveries, SESSIONS * messages)
    assert ticks >= 1
    assert rest == 0


def test_publish_to_one_of_many(benchmark: BenchmarkFixture, server: Server) -> None:
    benchmark(server.tick, Entry(data="x" * 128, to=("client-77",)))
    assert server.sinks[77].delivered > 1


def test_publish_to_paused_sessions(benchmark: BenchmarkFixture, server: Server) -> None:
    """What clients that take nothing cost the others: a push each, and nothing at the flush."""
    for session in server.sessions:
        session.pause()
    benchmark(server.tick, Entry(data="x" * 128, everyone=True))
    assert server.hub.counters.deliveries == 0
    assert server.hub.counters.slow_closed == 0
