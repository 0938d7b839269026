"""hub/ring.py, with a plain list as model."""

import gc
import sys

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from headrace.hub.ring import _FREE, Ring, RingBounds
from headrace.messages.message import Message
from headrace.messages.position import Position


def message(number: int = 0, size_bytes: int = 1) -> Message:
    return Message(Position(number, 0), "x" * size_bytes)


def ring_of(*messages: Message, max_messages: int = 1024, max_bytes: int = 1 << 20) -> Ring:
    ring = Ring(RingBounds(max_messages, max_bytes))
    for each in messages:
        assert ring.push(each)
    return ring


def slots_of(ring: Ring) -> int:
    return len(ring._slots)


class RingMachine(RuleBasedStateMachine):
    """Any sequence of calls gives the same results as a list with the same bounds."""

    messages = Bundle("messages")

    @initialize(max_messages=st.integers(1, 20), max_bytes=st.integers(1, 60))
    def begin(self, max_messages: int, max_bytes: int) -> None:
        self.bounds = RingBounds(max_messages, max_bytes)
        self.ring = Ring(self.bounds)
        self.model: list[Message] = []

    @rule(size_bytes=st.integers(0, 12))
    def push(self, size_bytes: int) -> None:
        pushed = message(size_bytes=size_bytes)
        fits = not self.model or (
            len(self.model) < self.bounds.max_messages
            and sum(m.size_bytes for m in self.model) + size_bytes <= self.bounds.max_bytes
        )
        assert self.ring.push(pushed) is fits
        if fits:
            self.model.append(pushed)

    @rule(count=st.integers(1, 40))
    def push_many(self, count: int) -> None:
        for _ in range(count):
            self.push(size_bytes=1)

    @rule(max_bytes=st.integers(0, 30))
    def take(self, max_bytes: int) -> None:
        expected = self.model[:1]
        for each in self.model[1:]:
            if sum(m.size_bytes for m in expected) + each.size_bytes > max_bytes:
                break
            expected.append(each)
        assert self.ring.take(max_bytes) == tuple(expected)
        del self.model[: len(expected)]

    @rule()
    def take_oldest(self) -> None:
        if self.model:
            assert self.ring.oldest is self.model[0]
            assert self.ring.take_oldest() is self.model.pop(0)
        else:
            with pytest.raises(IndexError):
                self.ring.take_oldest()

    @invariant()
    def has_the_messages_of_the_model(self) -> None:
        assert len(self.ring) == len(self.model)
        assert self.ring.size_bytes == sum(m.size_bytes for m in self.model)
        held = [slot for slot in self.ring._slots if slot is not _FREE]
        assert sorted(map(id, held)) == sorted(map(id, self.model))  # taken slots are cleared

    @invariant()
    def has_no_more_slots_than_it_grew_to(self) -> None:
        assert slots_of(self.ring) in ((0,) if not self.model else (4, 8, 16, 32))


TestRingMachine = RingMachine.TestCase


def test_an_empty_ring_has_no_slots_and_rings_share_none() -> None:
    one, other = ring_of(), ring_of()
    assert slots_of(one) == slots_of(other) == 0
    one.push(message())
    assert len(other) == 0
    assert slots_of(other) == 0


def test_a_burst_leaves_no_memory_behind() -> None:
    ring = ring_of(*map(message, range(1000)))
    assert slots_of(ring) == 1024
    assert len(ring.take(1 << 20)) == 1000
    assert slots_of(ring) == 0
    ring.push(message())
    assert slots_of(ring) == 4


def test_a_taken_message_is_released() -> None:
    last = message(1)
    ring = ring_of(first := message(0), last)
    references = sys.getrefcount(first)
    assert ring.take_oldest() is first
    assert sys.getrefcount(first) == references - 1
    ring.take(100)
    assert ring not in gc.get_referrers(last)
    assert not any(last in owner for owner in gc.get_referrers(last) if isinstance(owner, list))


def test_a_refused_message_is_not_referenced() -> None:
    ring = ring_of(message(), max_messages=1)
    refused = message(7)
    references = sys.getrefcount(refused)
    assert not ring.push(refused)
    assert sys.getrefcount(refused) == references


def test_an_empty_ring_accepts_one_message_of_any_size() -> None:
    ring = ring_of(max_messages=1, max_bytes=1)
    assert ring.push(message(size_bytes=1000))
    assert not ring.push(message(size_bytes=0))
    assert ring.size_bytes == 1000


def test_both_bounds_are_inclusive() -> None:
    ring = ring_of(max_messages=3, max_bytes=10)
    assert ring.push(message(size_bytes=5))
    assert ring.push(message(size_bytes=5))
    assert not ring.push(message(size_bytes=1))
    assert ring.push(message(size_bytes=0))
    assert not ring.push(message(size_bytes=0))


def test_a_ring_with_bounds_of_zero_accepts_nothing() -> None:
    assert not ring_of(max_messages=0, max_bytes=0).push(message())


def test_take_returns_at_least_one_message_and_no_more_than_fit() -> None:
    first, second, third = (message(n, 10) for n in range(3))
    ring = ring_of(first, second, third)
    assert ring.take(5) == (first,)
    assert ring.take(20) == (second, third)
    assert ring.take(20) == ()


def test_equal_backlogs_of_two_rings_are_equal_keys() -> None:
    shared = [message(n) for n in range(5)]
    one, other = ring_of(*shared), ring_of(message(9), *shared)
    other.take_oldest()  # the same messages in other slots
    assert {one.take(100): "found"}[other.take(100)] == "found"


def test_the_oldest_of_an_empty_ring_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        _ = ring_of().oldest
