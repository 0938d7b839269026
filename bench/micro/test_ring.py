"""A session's backlog: every delivery costs one push and one take."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from headrace.hub.ring import Ring, RingBounds
from headrace.messages.message import Message
from headrace.messages.position import Position

BOUNDS = RingBounds(1024, 1024 * 1024)
MESSAGES = [Message(Position(1732412345678, number), "x" * 128) for number in range(1000)]


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_push_and_take(benchmark: BenchmarkFixture, count: int) -> None:
    ring = Ring(BOUNDS)
    messages = MESSAGES[:count]

    def push_and_take() -> tuple[Message, ...]:
        for message in messages:
            ring.push(message)
        return ring.take(256 * 1024)

    assert len(benchmark(push_and_take)) == count


def test_push_to_full_ring(benchmark: BenchmarkFixture) -> None:
    """The cost of a publish for a client that is too slow."""
    ring = Ring(RingBounds(10, 1024 * 1024))
    for message in MESSAGES[:10]:
        ring.push(message)
    assert benchmark(ring.push, MESSAGES[10]) is False
