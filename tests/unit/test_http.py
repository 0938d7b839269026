"""headrace.protocol.http, with h11's client as the other side of the answers.

What a head and a body may be is in test_head.py and test_body.py.
"""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.wire import byte_by_byte, cut_at

from headrace import limits
from headrace.errors import RequestError, StateError
from headrace.protocol.http import (
    Body,
    EndOfRequest,
    Event,
    HttpConnection,
    Request,
    State,
)

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
GET_1_0 = b"GET /a HTTP/1.0\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECT = b"POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
HEAD = b"HEAD /e HTTP/1.1\r\nHost: a\r\n\r\n"
BAD = b"GET /f HTTP/1.1\r\n\r\n"


def connection_with(data: bytes, events: int = 0) -> HttpConnection:
    """A connection that got `data` and gave so many events."""
    connection = HttpConnection()
    connection.receive_data(data)
    for _ in range(events):
        assert connection.next_event() is not None
    return connection


def drain(connection: HttpConnection) -> list[Event]:
    return list(iter(connection.next_event, None))


def paths(events: Sequence[object]) -> list[str]:
    return [event.path for event in events if isinstance(event, Request)]


def serve(chunks: Sequence[bytes]) -> list[object]:
    """All events, each request answered as soon as it is whole; pieces of a body joined."""
    connection = HttpConnection()
    seen: list[object] = []
    for chunk in filter(None, chunks):
        connection.receive_data(chunk)
        try:
            while event := connection.next_event():
                before = seen[-1] if seen else None
                if isinstance(event, Body) and isinstance(before, Body):
                    seen[-1] = event = Body(before.data + event.data)
                else:
                    seen.append(event)
                if isinstance(event, EndOfRequest):
                    connection.respond(200)
        except RequestError as error:
            seen.append(error.status)
            connection.respond(error.status)
    if connection.should_close:
        seen.append("close")
    return seen


def three_ways(data: bytes) -> list[object]:
    whole = serve([data])
    assert serve(byte_by_byte(data)) == whole
    behind = serve([GET])
    closed = whole[-1:] == ["close"]
    assert serve([data + GET]) == (whole if closed else whole + behind)
    return whole


# --- requests ------------------------------------------------------------------------------------


def test_every_request_has_an_end() -> None:
    assert [type(event) for event in three_ways(GET)] == [Request, EndOfRequest]
    assert three_ways(POST + b"abc")[1:] == [Body(b"abc"), EndOfRequest()]
    assert three_ways(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")[1:] == [
        Body(b"abc"),
        EndOfRequest(),
    ]
    assert three_ways(CHUNKED + b"0\r\n\r\n")[1:] == [EndOfRequest()]


def test_pipelined_requests_come_one_after_the_other() -> None:
    assert paths(three_ways(GET + POST + b"abc" + CHUNKED + b"0\r\n\r\n" + HEAD)) == [
        *("/a", "/b", "/c", "/e")
    ]


def test_a_pipelined_request_waits_for_the_answer_before_it() -> None:
    connection = connection_with(GET + HEAD)
    assert paths(drain(connection)) == ["/a"]
    assert connection.next_event() is None
    connection.receive_data(BAD)
    assert connection.next_event() is None
    connection.respond(200)
    assert paths(drain(connection)) == ["/e"]


def test_an_empty_line_is_no_request() -> None:
    connection = connection_with(b"\r\n")
    assert connection.next_event() is None
    assert connection.state is State.IDLE


def test_a_malformed_request_ends_the_connection() -> None:
    assert three_ways(BAD) == [400, "close"]
    assert three_ways(GET + BAD)[2:] == [400, "close"]
    assert three_ways(CHUNKED + b"x\r\n")[1:] == [400, "close"]


def test_expects_body() -> None:
    found = {
        data: next(event for event in serve([data]) if isinstance(event, Request)).expects_body
        for data in (GET, POST, CHUNKED, POST.replace(b"3", b"0"))
    }
    assert list(found.values()) == [False, True, True, False]


def test_header_list() -> None:
    """RFC 9110 section 5.6.1."""
    connection = connection_with(GET[:-2] + b"X: a, ,b\t,\r\nY: n\r\nX:c\r\nX: D, e f\r\n\r\n")
    request = connection.next_event()
    assert isinstance(request, Request)
    assert request.header_list("x") == ["a", "b", "c", "D", "e f"]
    assert request.header_list("z") == []
    assert (request.header("x"), request.header("z")) == ("a, ,b\t,", None)


PIECES = st.sampled_from(
    [
        *(GET, GET_1_0, POST, POST + b"abc", CHUNKED, EXPECT, HEAD, BAD, b"abc", b"\r\n", b"0\r\n"),
        *(b"0\r\n\r\n", b"3\r\nabc\r\n", GET[:-2] + b"Connection: close\r\n\r\n"),
    ]
)


@given(
    st.lists(PIECES | st.binary(max_size=3), max_size=8).map(b"".join),
    st.lists(st.integers(0, 600), max_size=6),
)
@settings(deadline=None)
def test_any_chunking_of_any_bytes_gives_the_same(data: bytes, cuts: list[int]) -> None:
    """And nothing but a RequestError is ever raised."""
    chunks = cut_at(data, cuts)
    assert serve(chunks) == serve([data])


# --- limits --------------------------------------------------------------------------------------


def test_a_body_is_limited_by_default() -> None:
    connection = HttpConnection()
    connection.receive_data(POST.replace(b"3", b"%d" % (limits.BODY_MAX_BYTES + 1)))
    assert isinstance(connection.next_event(), Request)
    with pytest.raises(RequestError, match="over 1048576 bytes") as caught:
        connection.next_event()
    assert caught.value.status == 413
    assert connection.state is State.REFUSED
    assert b"connection: close" in connection.respond(413)
    assert connection.should_close


@pytest.mark.parametrize("request_", [POST + b"abc", CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"])
def test_the_limit_of_one_request_is_set_after_its_head(request_: bytes) -> None:
    connection = HttpConnection(body_max_bytes=2)
    connection.receive_data(request_ * 2)
    assert isinstance(connection.next_event(), Request)
    connection.body_max_bytes = None
    assert drain(connection) == [Body(b"abc"), EndOfRequest()]
    connection.respond(200)
    assert isinstance(connection.next_event(), Request)
    with pytest.raises(RequestError, match="over 2 bytes"):
        connection.next_event()


def test_what_waits_behind_a_request_is_limited() -> None:
    connection = connection_with(GET, events=2)
    connection.receive_data(GET + b"x" * (limits.PIPELINE_MAX_BYTES - len(GET)))
    connection.receive_data(b"x")
    connection.receive_data(GET)
    assert b"connection: close" in connection.respond(200)
    assert connection.should_close
    assert connection.next_event() is None


def test_a_long_body_is_not_limited_as_waiting() -> None:
    size = limits.PIPELINE_MAX_BYTES + 1
    connection = HttpConnection()
    connection.receive_data(POST.replace(b"3", b"%d" % size) + b"x" * size)
    assert drain(connection)[1:] == [Body(b"x" * size), EndOfRequest()]
    assert b"connection: close" not in connection.respond(200)


# --- the peer's end ------------------------------------------------------------------------------


def test_the_end_of_an_idle_connection() -> None:
    connection = HttpConnection()
    connection.receive_data(b"")
    assert connection.should_close
    connection = connection_with(GET, events=2)
    connection.respond(200)
    connection.receive_data(b"")
    assert connection.should_close


def test_the_end_inside_a_head() -> None:
    connection = connection_with(GET[:-1])
    connection.receive_data(b"")
    assert connection.next_event() is None
    assert connection.should_close


@pytest.mark.parametrize("start", [POST + b"ab", CHUNKED + b"3\r\nab", CHUNKED + b"3\r\nabc\r\n"])
def test_the_end_inside_a_body(start: bytes) -> None:
    connection = connection_with(start)
    connection.receive_data(b"")
    with pytest.raises(RequestError, match="ended before") as caught:
        drain(connection)
    assert caught.value.status == 400
    connection.respond(400)
    assert connection.should_close


def test_requests_before_the_end_are_answered() -> None:
    connection = connection_with(GET + HEAD)
    connection.receive_data(b"")
    assert paths(drain(connection)) == ["/a"]
    connection.respond(200)
    assert not connection.should_close
    assert paths(drain(connection)) == ["/e"]
    connection.respond(200)
    assert connection.should_close


def test_bytes_after_the_end_are_a_defect() -> None:
    connection = connection_with(GET)
    connection.receive_data(b"")
    with pytest.raises(StateError):
        connection.receive_data(GET)
