"""A session's backlog: one message in and out is what each delivery pays."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from headrace.message import Message
from headrace.position import Position
from headrace.ring import Ring, RingBounds

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


def test_push_into_a_full_ring(benchmark: BenchmarkFixture) -> None:
    """What a publish pays for a client that is too slow."""
    ring = Ring(RingBounds(10, 1024 * 1024))
    for message in MESSAGES[:10]:
        ring.push(message)
    assert benchmark(ring.push, MESSAGES[10]) is False
