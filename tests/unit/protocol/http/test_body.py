"""headrace.protocol.http.body: each body whole, byte by byte, and followed by the next request."""

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.client_bytes import byte_by_byte, cut_at

from headrace import limits
from headrace.errors import RequestError
from headrace.protocol.http.body import (
    CHUNK_LINE_MAX_BYTES,
    TRAILERS_MAX_BYTES,
    BodyReader,
    ChunkedBody,
    FixedBody,
)

NEXT_REQUEST = b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n"


def read_chunks(
    body: BodyReader, chunks: list[bytes], max_bytes: int | None = None
) -> tuple[bytes, object]:
    """Return the data, and the status and text of the error, or True if the body is complete."""
    buffer = bytearray()
    data = b""
    for chunk in chunks:
        buffer += chunk
        try:
            while not body.done and (piece := body.read(buffer, max_bytes)):
                data += piece
        except RequestError as error:
            return data, (error.status, error.detail)
    return data, body.done


def read(coded: bytes, max_bytes: int | None = None) -> tuple[bytes, object]:
    whole = read_chunks(ChunkedBody(), [coded], max_bytes)
    assert read_chunks(ChunkedBody(), byte_by_byte(coded), max_bytes) == whole
    if whole[1] is not False:
        assert read_chunks(ChunkedBody(), [coded + NEXT_REQUEST], max_bytes) == whole
    return whole


def status(coded: bytes, max_bytes: int | None = None) -> int:
    refused = read(coded, max_bytes)[1]
    assert isinstance(refused, tuple), refused
    return int(refused[0])


def test_a_body_of_known_length() -> None:
    for chunks in ([b"abc"], [b"a", b"b", b"c"], [b"abc" + NEXT_REQUEST]):
        assert read_chunks(FixedBody(3), chunks) == (b"abc", True)
    assert read_chunks(FixedBody(4), [b"abc"]) == (b"abc", False)
    assert FixedBody(0).done


def test_the_next_request_stays_in_the_buffer() -> None:
    fixed = bytearray(b"abc" + NEXT_REQUEST)
    assert FixedBody(3).read(fixed, None) == b"abc"
    chunked = bytearray(b"3\r\nabc\r\n0\r\n\r\n" + NEXT_REQUEST)
    assert ChunkedBody().read(chunked, None) == b"abc"
    assert fixed == chunked == NEXT_REQUEST


def test_a_body_over_the_limit_is_refused_before_it_arrives() -> None:
    assert read_chunks(FixedBody(3), [b"abc"], 3) == (b"abc", True)
    body = FixedBody(4)
    with pytest.raises(RequestError, match="over 3 bytes") as caught:
        body.read(bytearray(), 3)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("coded", "data"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"1\r\na\r\n2\r\nbc\r\n000\r\n\r\n", b"abc"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"3;name=value\r\nabc\r\n0 ;x\r\n\r\n", b"abc"),
        (b'3;a="b\xe9";c\r\nabc\r\n0\r\n\r\n', b"abc"),
        (b"0\r\nTrailer: x\r\nOther: y\r\n\r\n", b""),
    ],
)
def test_a_chunked_body(coded: bytes, data: bytes) -> None:
    assert read(coded) == (data, True)


@pytest.mark.parametrize(
    "coded",
    [
        b"\r\n",
        b"x\r\n",
        b"+3\r\n",
        b"0x3\r\n",
        b" 3\r\n",
        b"3 \r\n",
        b"3 x\r\n",
        b"3;a\x00\r\n",
        b"3;a\rb\r\n",
        b"-1\r\n",
        b"1_0\r\n",
        b"00000000000000003\r\n",  # over 16 digits
        b"3\nabc\r\n",
    ],
)
def test_400_malformed_size_lines(coded: bytes) -> None:
    assert read(coded)[0] == b""
    assert status(coded) == 400


@pytest.mark.parametrize("coded", [b"3\r\nabcd\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc\rx"])
def test_400_a_chunk_longer_than_its_size_after_its_data(coded: bytes) -> None:
    assert read(coded)[0] == b"abc"
    assert status(coded) == 400


@pytest.mark.parametrize(
    "coded", [b"", b"3", b"3\r\nab", b"3\r\nabc\r", b"0\r\n", b"0\r\nX: y\r\n"]
)
def test_an_incomplete_body_is_not_done(coded: bytes) -> None:
    assert read(coded)[1] is False


def test_413_at_the_chunk_that_exceeds_the_limit() -> None:
    assert read(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 5) == (b"abcde", True)
    assert read(b"3\r\nabc\r\n3\r\n", 5)[0] == b"abc"
    assert status(b"3\r\nabc\r\n3\r\n", 5) == 413
    assert status(b"FFFFFFFFFFFFFFFF\r\n", limits.BODY_MAX_BYTES) == 413


def test_a_long_size_line_is_refused_before_it_ends() -> None:
    longest = b"0;" + b"x" * (CHUNK_LINE_MAX_BYTES - 4)
    assert read(longest + b"\r\n\r\n") == (b"", True)
    assert status(longest + b"x\r\n") == 400
    assert status(longest + b"xxxx") == 400


def test_long_trailers_are_refused_before_they_end() -> None:
    longest = b"0\r\nX: " + b"x" * (TRAILERS_MAX_BYTES - 7)
    assert read(longest + b"\r\n\r\n") == (b"", True)
    assert status(longest + b"x\r\n\r\n") == 431
    assert status(longest + b"x" * 7) == 431


def test_400_chunks_that_are_mostly_extensions() -> None:
    """Without this check a limited body could take unlimited bytes on the wire."""
    assert read(b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n") == (b"x" * 5000, True)
    padded = b"1;" + b"x" * 200 + b"\r\nx\r\n"
    data, refused = read(padded * 1000)
    assert len(data) < 100
    assert refused == (400, "The chunks are mostly extensions; leave those out.")


# --- h11 -----------------------------------------------------------------------------------------


def read_with_h11(coded: bytes) -> bytes:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + coded
    )
    data = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Data):
            data += event.data
    return data


@pytest.mark.parametrize("coded", [b"0\r\n\n", b"0\r\nX: y\n\n", b"0\r\nX: y\n\r\n"])
def test_h11_accepts_bare_lf_in_trailers(coded: bytes) -> None:
    assert read_with_h11(coded) == b""
    assert status(coded) == 400


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.lists(st.integers(0, 400)),
    st.data(),
)
@settings(deadline=None)
def test_any_chunks_cut_anywhere_are_read_as_h11_reads_them(
    parts: list[bytes], cuts: list[int], draw: st.DataObject
) -> None:
    coded = b"".join(
        draw.draw(st.sampled_from([b"%x\r\n%b\r\n", b"%X;a\r\n%b\r\n", b"0%x;b=c\r\n%b\r\n"]))
        % (len(part), part)
        for part in parts
    )
    coded += b"0\r\n" + draw.draw(st.sampled_from([b"", b"X: y\r\n"])) + b"\r\n"
    chunks = cut_at(coded, cuts)
    assert read_chunks(ChunkedBody(), chunks) == (b"".join(parts), True)
    assert read_with_h11(coded) == b"".join(parts)


PIECES = st.sampled_from(
    [b"0", b"3", b"abc", b"\r\n", b"\n", b"\r", b";x", b"3\r\nabc\r\n", b"0\r\n", b"x" * 300]
)


@given(
    st.lists(PIECES | st.binary(max_size=3), max_size=12).map(b"".join),
    st.lists(st.integers(0, 400), max_size=6),
)
@settings(deadline=None)
def test_any_bytes_cut_anywhere_give_the_same_result(coded: bytes, cuts: list[int]) -> None:
    """RequestError is the only exception."""
    chunks = cut_at(coded, cuts)
    assert read_chunks(ChunkedBody(), chunks, 20) == read_chunks(ChunkedBody(), [coded], 20)
