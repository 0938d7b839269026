"""api/body_stream.py: bodies in pieces, and lines out of pieces."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.client_bytes import cut_at
from tests.helpers.fakes import run_now

from headrace.api.body_stream import BUFFER_MAX_BYTES, BodyStream, split_lines
from headrace.errors import RequestError


class Reading:
    """The reading side of a connection."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.body = BodyStream(
            lambda: self.changes.append("pause"), lambda: self.changes.append("resume")
        )


# --- BodyStream ------------------------------------------------------------------------------


async def test_what_was_fed_comes_out_joined() -> None:
    body = Reading().body
    for piece in (b"a", b"bc"):
        body.feed(piece)
    assert await anext(body) == b"abc"
    body.feed(b"d")
    body.end()
    assert [piece async for piece in body] == [b"d"]
    assert body.ended


async def test_a_reader_waits_for_the_next_piece_and_for_the_end() -> None:
    body = Reading().body
    task = asyncio.create_task(anext(body))
    await asyncio.sleep(0)
    assert not task.done()
    body.feed(b"a")
    assert await task == b"a"
    ended = asyncio.create_task(anext(body, None))
    await asyncio.sleep(0)
    assert not ended.done()
    body.end()
    assert await ended is None


async def test_a_body_that_was_cut_short_raises_after_its_pieces() -> None:
    body = Reading().body
    body.feed(b"a")
    body.end(RequestError(400, "the client disconnected"))
    assert await anext(body) == b"a"
    for _ in range(2):
        with pytest.raises(RequestError, match="disconnected"):
            await anext(body)


async def test_the_connection_pauses_while_too_much_is_buffered() -> None:
    reading = Reading()
    half = b"x" * (BUFFER_MAX_BYTES // 2)
    reading.body.feed(half)
    reading.body.feed(half)
    assert reading.changes == []
    reading.body.feed(b"x")
    reading.body.feed(b"x")
    assert reading.changes == ["pause"]
    await anext(reading.body)
    assert reading.changes == ["pause", "resume"]
    reading.body.feed(half * 3)
    assert reading.changes == ["pause", "resume", "pause"]


# --- lines -----------------------------------------------------------------------------------


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def collect(pieces: Iterable[bytes], max_bytes: int) -> list[list[bytes | None]]:
    return [lines async for lines in split_lines(stream(pieces), max_bytes)]


def lines_of(pieces: Iterable[bytes], max_bytes: int = 100) -> list[bytes | None]:
    return [line for lines in run_now(collect(pieces, max_bytes)) for line in lines]


def test_the_lines_that_a_piece_completes_are_yielded_together() -> None:
    pieces = [b"a\nb\nc", b"d", b"\n", b"e"]
    assert run_now(collect(pieces, 100)) == [[b"a", b"b"], [b"cd"], [b"e"]]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\n\nb", [b"a", b"", b"b"]),
        (b"a\r\nb", [b"a\r", b"b"]),
    ],
)
def test_the_last_line_needs_no_end(data: bytes, lines: list[bytes]) -> None:
    assert lines_of([data]) == lines


@pytest.mark.parametrize(
    "pieces",
    [
        [b"12345\n123456\n1\n"],
        [b"12345", b"\n123", b"456\n1", b"\n"],
        [b"12345\n123456", b"7890" * 100, b"1\n1\n"],
    ],
)
def test_a_line_over_the_limit_is_none_and_the_next_is_not(pieces: list[bytes]) -> None:
    assert lines_of(pieces, 5) == [b"12345", None, b"1"]


def test_a_last_line_over_the_limit() -> None:
    assert lines_of([b"123", b"456"], 5) == [None]


@given(
    st.lists(st.integers(0, 8).map(lambda size: b"x" * size), max_size=8),
    st.lists(st.integers(0, 60), max_size=8),
    st.booleans(),
)
def test_the_lines_do_not_depend_on_how_the_stream_is_cut(
    lines: list[bytes], cuts: list[int], ends: bool
) -> None:
    data = b"\n".join(lines) + b"\n" * ends
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert lines_of(cut_at(data, cuts), 5) == [
        line if len(line) <= 5 else None for line in expected
    ]
