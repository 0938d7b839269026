"""messages/position.py: the form of an id, and the order of ids."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InputError
from headrace.messages.position import START, Position, parse_position

PART_MAX = 2**64 - 1
parts = st.integers(0, PART_MAX)
positions = st.builds(Position, parts, parts)


@given(positions)
def test_parsing_the_id_of_a_position_returns_it(position: Position) -> None:
    assert parse_position(str(position)) == position
    assert str(position) == "%d-%d" % position


@given(positions, positions)
def test_ids_compare_as_numbers_not_as_text(one: Position, other: Position) -> None:
    assert (one < other) == ((one.ms << 64) + one.seq < (other.ms << 64) + other.seq)


def test_the_order_is_numeric_not_alphabetical() -> None:
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
def test_other_text_is_not_an_id(text: str) -> None:
    with pytest.raises(InputError, match="is not an id; it must be") as caught:
        parse_position(text)
    assert len(str(caught.value).encode()) < 400  # the text is cut, and can be encoded


@given(st.text())
def test_any_text_is_an_id_or_an_input_error(text: str) -> None:
    with suppress(InputError):
        assert str(parse_position(text)) == text
