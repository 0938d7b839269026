"""messages/validation.py: the sizes of client IDs, groups and data, and the target of a send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.fakes import python_calls

from headrace import limits
from headrace.errors import InputError, TooLargeError
from headrace.messages.entries import Entry
from headrace.messages.validation import (
    check_client_id,
    check_data,
    check_entry,
    check_group,
    check_text,
    utf8_size,
)


def refused_client_id(client_id: str, max_bytes: int = 256) -> str:
    with pytest.raises(InputError) as caught:
        check_client_id(client_id, max_bytes)
    return str(caught.value)


def refused_group(group: str) -> str:
    with pytest.raises(InputError) as caught:
        check_group(group)
    return str(caught.value)


@given(st.text())
def test_utf8_size_is_that_of_the_encoding(text: str) -> None:
    assert utf8_size("data", text) == len(text.encode())


@pytest.mark.parametrize("half", [chr(0xD800), chr(0xDFFF), "ab" + chr(0xDC80) + "c"])
def test_half_of_a_surrogate_pair_is_not_utf8(half: str) -> None:
    with pytest.raises(InputError, match="the data has half of a surrogate pair") as caught:
        utf8_size("data", half)
    assert f"at character {len(half.rstrip('c')) - 1}" in str(caught.value)
    str(caught.value).encode()  # the error response can be encoded


@pytest.mark.parametrize("name", ["a", "é" * 128, "\N{GRINNING FACE}" * 64, "a/b-c=d&e+f g\n", "*"])
def test_any_text_within_the_bounds_is_a_client_id_and_a_group(name: str) -> None:
    check_client_id(name, 256)
    check_group(name)


def test_the_limit_is_in_bytes_and_inclusive() -> None:
    check_client_id("a" * 256, 256)
    check_group("a" * limits.GROUP_NAME_MAX_BYTES)
    assert "is 257 bytes of UTF-8; it must be 1 to 256" in refused_client_id("a" * 257)
    assert "is 258 bytes of UTF-8; it must be 1 to 256" in refused_client_id("é" * 129)
    assert "is 4 bytes of UTF-8; it must be 1 to 3" in refused_client_id("abcd", 3)
    assert "is 257 bytes of UTF-8; it must be 1 to 256" in refused_group("a" * 257)


def test_an_empty_name_is_refused() -> None:
    assert refused_client_id("") == "the client ID '' is 0 bytes of UTF-8; it must be 1 to 256"
    assert refused_group("") == "the group name '' is 0 bytes of UTF-8; it must be 1 to 256"


def test_an_error_shows_the_beginning_of_the_value() -> None:
    assert refused_client_id("x" * 5000).startswith(f"the client ID {'x' * 40!r} is 5000 bytes")
    assert refused_group("\ud800") == (
        "the group name '\\ud800' has half of a surrogate pair at character 0; send UTF-8"
    )


def test_an_error_says_which_value_it_is_about() -> None:
    check_text("idempotency key", "k" * 5, 5)
    with pytest.raises(InputError, match="the idempotency key 'kkkkkk' is 6 bytes of UTF-8"):
        check_text("idempotency key", "k" * 6, 5)


def test_data_over_the_limit_is_too_large() -> None:
    check_data("é" * 10, 20)
    check_data("", 0)
    with pytest.raises(TooLargeError) as caught:
        check_data("é" * 11, 20)
    assert str(caught.value) == (
        "the data is 22 bytes of UTF-8; a message holds at most 20: send it in parts, or send a"
        " link"
    )


# --- entries ---------------------------------------------------------------------------------


def check(entry: Entry) -> None:
    check_entry(entry, message_max_bytes=20, client_id_max_bytes=9)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(data="x" * 20, to=("alice",)),
        Entry(data="é" * 10, to=("bob", "é" * 4, "bob")),
        Entry(data="", group="g" * 256),
        Entry(data="x", everyone=True),
    ],
)
def test_an_entry_with_one_kind_of_target_is_valid(entry: Entry) -> None:
    check(entry)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(data="x"),
        Entry(data="x", to=("a",), group="g"),
        Entry(data="x", to=("a",), everyone=True),
        Entry(data="x", group="g", everyone=True),
        Entry(data="x", to=("a",), group="g", everyone=True),
    ],
)
def test_an_entry_needs_exactly_one_kind_of_target(entry: Entry) -> None:
    with pytest.raises(InputError, match="a send needs exactly one target"):
        check(entry)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (Entry(data="x", to=("",)), "client ID '' is 0 bytes of UTF-8; it must be 1 to 9"),
        (Entry(data="x", to=("a", "é" * 5)), "is 10 bytes of UTF-8; it must be 1 to 9"),
        (Entry(data="x", to=("\ud800",)), "half of a surrogate pair at character 0"),
        (Entry(data="x", group=""), "group name '' is 0 bytes of UTF-8; it must be 1 to 256"),
        (Entry(data="x", group="g" * 257), "is 257 bytes of UTF-8; it must be 1 to 256"),
        (Entry(data="a\ud83d", everyone=True), "the data has half of a surrogate pair"),
    ],
)
def test_an_invalid_value_in_an_entry(entry: Entry, text: str) -> None:
    with pytest.raises(InputError) as caught:
        check(entry)
    assert text in str(caught.value)
    assert not isinstance(caught.value, TooLargeError)


@pytest.mark.parametrize("data", ["x" * 21, "é" * 11])
def test_the_data_of_an_entry_is_limited(data: str) -> None:
    with pytest.raises(TooLargeError, match="a message holds at most 20: send it in parts"):
        check(Entry(data=data, group="g"))


@pytest.mark.parametrize("entry", [Entry(data="x", to=("alice",)), Entry(data="x", group="g")])
def test_checking_a_send_to_one_ascii_target_costs_two_python_calls(entry: Entry) -> None:
    calls = python_calls(lambda: check_entry(entry, message_max_bytes=20, client_id_max_bytes=9))
    assert calls == 2
