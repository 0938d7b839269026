"""hub/replay.py: several lists, merged in order as the messages are taken."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.fakes import python_calls

from headrace.hub.replay import Replay
from headrace.messages.message import Message
from headrace.messages.position import START, Position


def message(ms: int, size_bytes: int = 1) -> Message:
    return Message(Position(ms, 0), "x" * size_bytes)


@given(
    st.lists(st.lists(st.integers(0, 20), unique=True).map(sorted), max_size=5),
    st.integers(0, 12),
    st.data(),
)
def test_the_messages_of_any_lists_are_taken_in_order_each_once(
    numbers: list[list[int]], max_bytes: int, data: st.DataObject
) -> None:
    messages = [message(number, data.draw(st.integers(0, 5))) for number in range(21)]
    replay = Replay([[messages[number] for number in each] for each in numbers])
    expected = [messages[number] for number in sorted({n for each in numbers for n in each})]
    assert len(replay) == sum(map(len, numbers))
    assert replay.newest == (expected[-1].position if expected else START)
    taken: list[Message] = []
    while replay:
        part = replay.take(max_bytes)
        assert part
        size_bytes = sum(each.size_bytes for each in part)
        assert len(part) == 1 or size_bytes <= max_bytes
        taken += part
        if len(taken) < len(expected):
            assert size_bytes + expected[len(taken)].size_bytes > max_bytes
    assert taken == expected
    assert replay.take(max_bytes) == ()


def test_a_message_is_released_when_it_is_taken() -> None:
    first, second = message(1), message(2)
    replay = Replay([[first, message(3)], [second, message(4)]])
    alone = sys.getrefcount(message(5)) + 1  # and the name here
    assert [len(replay.take(0)) for _ in range(2)] == [1, 1]
    assert [sys.getrefcount(first), sys.getrefcount(second)] == [alone, alone]


@pytest.mark.parametrize("count", [1000, 10_000])
def test_taking_a_few_messages_costs_the_same_for_any_number(count: int) -> None:
    replay = Replay([[message(2 * n + start) for n in range(count)] for start in range(2)])
    replay.take(10)
    assert python_calls(lambda: replay.take(100)) < 500
