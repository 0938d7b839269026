"""headrace.position: the form of an id, and the order of ids."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import RequestError
from headrace.position import START, Position, PositionCounter, parse_position

PART_MAX = 2**64 - 1
parts = st.integers(0, PART_MAX)
positions = st.builds(Position, parts, parts)


@given(positions)
def test_what_is_written_is_read(position: Position) -> None:
    assert parse_position(str(position)) == position


@given(positions, positions)
def test_ids_compare_as_numbers_not_as_text(one: Position, other: Position) -> None:
    assert (one < other) == ((one.ms << 64) + one.seq < (other.ms << 64) + other.seq)


def test_the_order_is_numeric_where_text_would_differ() -> None:
    assert parse_position("999-0") < parse_position("1000-0")
    assert parse_position("5-9") < parse_position("5-10")
    assert Position(0, 0) == START
    assert Position(0, 1) > START


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1-2-3",
        "1--2",
        "-1-2",
        "+1-2",
        "01-2",
        "1-02",
        "00-0",
        "1.0-2",
        "1e3-0",
        "1_0-0",
        "0x1-0",
        " 1-2",
        "1-2 ",
        "1-2\n",
        "1 - 2",
        "1\N{EN DASH}2",
        "\N{ARABIC-INDIC DIGIT ONE}-0",
        "\N{SUPERSCRIPT TWO}-0",
        "1-0\x00",
        "$",
        "abc-def",
        f"{PART_MAX + 1}-0",
        f"0-{PART_MAX + 1}",
        "9" * 21 + "-0",
        "9" * 10_000 + "-0",
        "\ud800",
    ],
)
def test_what_is_no_id_is_a_400_that_says_so(text: str) -> None:
    with pytest.raises(RequestError, match="is not an id; it must be") as caught:
        parse_position(text)
    assert caught.value.status == 400
    assert len(caught.value.detail.encode()) < 400  # shown in part, and always encodable


@given(st.text())
def test_any_text_is_an_id_or_a_400(text: str) -> None:
    with suppress(RequestError):
        assert str(parse_position(text)) == text


@given(st.lists(st.integers(0, 2**42)))
def test_positions_rise_strictly_whatever_the_clock_does(readings: list[int]) -> None:
    counter = PositionCounter()
    given_out = [counter.next(now_ms) for now_ms in readings]
    assert all(before < after for before, after in pairwise(given_out))
    assert all(place.ms >= now_ms for place, now_ms in zip(given_out, readings, strict=True))
    assert counter.latest == (given_out[-1] if given_out else START)


def test_within_a_millisecond_and_with_a_clock_set_back_the_sequence_counts_on() -> None:
    counter = PositionCounter(Position(1000, 0))
    assert counter.next(1000) == Position(1000, 1)
    assert counter.next(400) == Position(1000, 2)
    assert counter.next(1001) == Position(1001, 0)
    assert counter.next(1001) == Position(1001, 1)
