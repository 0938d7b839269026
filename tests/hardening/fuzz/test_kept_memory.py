"""What a parser keeps in memory is limited, whatever a peer sends and for however long."""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.hardening.fuzz.target import kept_bytes
from tests.helpers.client_bytes import CONTINUATION, RSV1, client_frame
from tests.helpers.fakes import run_now

from headrace import limits
from headrace.api.body_stream import split_lines
from headrace.errors import FrameError, RequestError
from headrace.messages import frames
from headrace.protocol.http import HttpConnection, HttpState
from headrace.protocol.http.body import TRAILERS_MAX_BYTES
from headrace.protocol.http.connection import PIPELINE_MAX_BYTES
from headrace.protocol.websocket import FrameReader

STREAM_BYTES = 512 * 1024
READ_BYTES = 16 * 1024
MESSAGE_MAX_BYTES = 64 * 1024

OVERHEAD_BYTES = 16 * 1024
"""Of a parser's objects, without what it keeps of the stream."""

BEGIN = client_frame(frames.TEXT, fin=False)
BEGIN_DEFLATE = client_frame(frames.TEXT, fin=False, rsv=RSV1)
STREAMS = {
    "empty fragments": (BEGIN, client_frame(CONTINUATION, fin=False)),
    "fragments of one byte": (BEGIN, client_frame(CONTINUATION, b"x", fin=False)),
    "fragments of two bytes": (BEGIN, client_frame(CONTINUATION, b"xy", fin=False)),
    "fragments of wide characters": (
        BEGIN,
        client_frame(CONTINUATION, "\U0001f600".encode(), fin=False),
    ),
    "empty compressed fragments": (BEGIN_DEFLATE, client_frame(CONTINUATION, fin=False)),
    "compressed fragments of one byte": (
        BEGIN_DEFLATE,
        client_frame(CONTINUATION, b"x", fin=False),
    ),
    "compressed fragments of two bytes": (
        BEGIN_DEFLATE,
        client_frame(CONTINUATION, b"xy", fin=False),
    ),
    "pings inside a message": (BEGIN, client_frame(frames.PING, b"x" * 125)),
    "one frame": (client_frame(frames.TEXT, size=MESSAGE_MAX_BYTES), b"x"),
    "whole messages": (b"", client_frame(frames.TEXT, b"x" * 1000)),
    "messages in two fragments": (b"", BEGIN + client_frame(CONTINUATION)),
}


def reads(begin: bytes, repeated: bytes) -> Iterator[bytes]:
    """Return an endless stream in reads, up to `STREAM_BYTES`."""
    unit = repeated * (READ_BYTES // len(repeated) + 1)
    if begin:
        yield begin
    for _ in range(STREAM_BYTES // len(unit)):
        yield unit


@pytest.mark.parametrize("name", STREAMS)
def test_frame_reader(name: str) -> None:
    reader = FrameReader(deflate="compressed" in name, max_bytes=MESSAGE_MAX_BYTES)
    most = 0
    for data in reads(*STREAMS[name]):
        try:
            reader.receive_data(data)
        except FrameError:
            reader.events_before_fault = ()
            assert kept_bytes(reader) < OVERHEAD_BYTES
            break
        most = max(most, kept_bytes(reader))
    # A text takes up to four bytes in memory for each byte of the message.
    assert most <= OVERHEAD_BYTES + READ_BYTES + 4 * MESSAGE_MAX_BYTES


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HTTP_STREAMS = {
    "empty lines": (b"", b"\r\n"),
    "a method": (b"", b"A"),
    "a target": (b"GET /", b"a"),
    "one header": (HEAD + b"a: ", b"a"),
    "headers": (HEAD, b"a: b\r\n"),
    "a body": (HEAD + b"Content-Length: 99999999\r\n\r\n", b"x"),
    "a body after 100-continue": (
        HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
        b"x",
    ),
    "one chunk": (CHUNKED + b"fffffff\r\n", b"x"),
    "chunks of one byte": (CHUNKED, b"1\r\nx\r\n"),
    "chunks with extensions": (CHUNKED, b"1;" + b"x" * 12 + b"\r\nx\r\n"),
    "a size line": (CHUNKED + b"1;", b"x"),
    "a trailer": (CHUNKED + b"0\r\na: ", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n"),
    "requests": (b"", HEAD + b"\r\n"),
}


@pytest.mark.parametrize("name", HTTP_STREAMS)
def test_http_connection_whose_events_are_taken(name: str) -> None:
    connection = HttpConnection(body_max_bytes=None)
    most = 0
    for data in reads(*HTTP_STREAMS[name]):
        connection.receive_data(data)
        try:
            while connection.next_event() is not None:
                if connection.state is HttpState.ANSWERING:
                    connection.respond(200)
        except RequestError:
            connection.respond(400)
        most = max(most, kept_bytes(connection))
    assert most <= OVERHEAD_BYTES + max(limits.HEAD_MAX_BYTES, TRAILERS_MAX_BYTES) + READ_BYTES


@pytest.mark.parametrize("name", ["requests", "empty lines"])
def test_http_connection_whose_request_is_not_answered(name: str) -> None:
    connection = HttpConnection()
    connection.receive_data(HEAD + b"\r\n")
    connection.next_event()
    most = 0
    for data in reads(*HTTP_STREAMS[name]):
        connection.receive_data(data)
        assert connection.next_event() is None
        most = max(most, kept_bytes(connection))
    assert most <= OVERHEAD_BYTES + 2 * (PIPELINE_MAX_BYTES + READ_BYTES)
    connection.respond(200)
    assert connection.should_close


def test_a_line_without_an_end() -> None:
    kept: list[int] = []
    data = b"x" * READ_BYTES

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(STREAM_BYTES // READ_BYTES):
            yield data
            local = lines.ag_frame.f_locals.values()  # type: ignore[attr-defined]  # not in the stubs
            kept.append(
                kept_bytes(*(each for each in local if isinstance(each, bytes | bytearray)))
            )

    lines = split_lines(pieces(), max_bytes=MESSAGE_MAX_BYTES)

    async def read() -> list[bytes | None]:
        return list(itertools.chain.from_iterable([found async for found in lines]))

    assert run_now(read()) == [None]
    assert max(kept) <= MESSAGE_MAX_BYTES + 2 * READ_BYTES
