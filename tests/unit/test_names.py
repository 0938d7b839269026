"""headrace.names: client IDs, group names and data are UTF-8 within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import limits
from headrace.errors import RequestError
from headrace.names import check_client_id, check_group, utf8_size


def refused_client_id(client_id: str, max_bytes: int = 256) -> str:
    with pytest.raises(RequestError) as caught:
        check_client_id(client_id, max_bytes)
    assert caught.value.status == 400
    return caught.value.detail


def refused_group(group: str) -> str:
    with pytest.raises(RequestError) as caught:
        check_group(group)
    assert caught.value.status == 400
    return caught.value.detail


@given(st.text())
def test_utf8_size_is_that_of_the_encoding(text: str) -> None:
    assert utf8_size("data", text) == len(text.encode())


@pytest.mark.parametrize("half", [chr(0xD800), chr(0xDFFF), "ab" + chr(0xDC80) + "c"])
def test_half_of_a_surrogate_pair_is_no_utf8(half: str) -> None:
    with pytest.raises(RequestError, match="the data has half of a surrogate pair") as caught:
        utf8_size("data", half)
    assert caught.value.status == 400
    assert f"at character {len(half.rstrip('c')) - 1}" in caught.value.detail
    caught.value.detail.encode()  # the answer itself can be written


@pytest.mark.parametrize("name", ["a", "é" * 128, "\N{GRINNING FACE}" * 64, "a/b-c=d&e+f g\n", "*"])
def test_any_string_within_the_bounds_is_a_client_id_and_a_group(name: str) -> None:
    check_client_id(name, 256)
    check_group(name)


def test_the_bound_is_in_bytes_and_inclusive() -> None:
    check_client_id("a" * 256, 256)
    check_group("a" * limits.GROUP_NAME_MAX_BYTES)
    assert "is 257 bytes of UTF-8; it must be 1 to 256" in refused_client_id("a" * 257)
    assert "is 258 bytes of UTF-8; it must be 1 to 256" in refused_client_id("é" * 129)
    assert "is 4 bytes of UTF-8; it must be 1 to 3" in refused_client_id("abcd", 3)
    assert "is 257 bytes of UTF-8; it must be 1 to 256" in refused_group("a" * 257)


def test_an_empty_name_is_refused() -> None:
    assert refused_client_id("") == "the client ID '' is 0 bytes of UTF-8; it must be 1 to 256"
    assert refused_group("") == "the group name '' is 0 bytes of UTF-8; it must be 1 to 256"


def test_a_refusal_shows_the_beginning_of_the_name() -> None:
    assert refused_client_id("x" * 5000).startswith(f"the client ID {'x' * 40!r} is 5000 bytes")
    assert refused_group("\ud800") == (
        "the group name '\\ud800' has half of a surrogate pair at character 0; send UTF-8"
    )
