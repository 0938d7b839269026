"""headrace.protocol.http.connection: requests. Responses are in test_connection_responses.py.

The grammar of heads and bodies is tested in test_head.py and test_body.py.
"""

import sys
from collections.abc import Sequence
from types import FrameType

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.client_bytes import byte_by_byte, cut_at

from headrace import limits
from headrace.errors import RequestError, StateError
from headrace.protocol.http import (
    Body,
    EndOfRequest,
    HttpConnection,
    HttpEvent,
    HttpState,
    RequestHead,
)
from headrace.protocol.http.connection import PIPELINE_MAX_BYTES

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
GET_1_0 = b"GET /a HTTP/1.0\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECT = b"POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
HEAD = b"HEAD /e HTTP/1.1\r\nHost: a\r\n\r\n"
BAD = b"GET /f HTTP/1.1\r\n\r\n"


def connection_with(data: bytes, events: int = 0) -> HttpConnection:
    """Return a connection that received `data` and returned that many events."""
    connection = HttpConnection()
    connection.receive_data(data)
    for _ in range(events):
        assert connection.next_event() is not None
    return connection


def take_head(connection: HttpConnection) -> RequestHead:
    head = connection.next_event()
    assert isinstance(head, RequestHead)
    return head


def take_all(connection: HttpConnection) -> list[HttpEvent]:
    return list(iter(connection.next_event, None))


def paths(events: Sequence[object]) -> list[str]:
    return [event.path for event in events if isinstance(event, RequestHead)]


def bodies(events: Sequence[object]) -> list[bytes | None]:
    return [event.body for event in events if isinstance(event, RequestHead)]


def serve(chunks: Sequence[bytes], body_max_bytes: int | None = 1000) -> list[object]:
    """Return each complete request as a RequestHead with its whole body, and answer it.

    After them come the status of an error, or an incomplete request as its head (body None) and
    the data so far, and "close" if the connection must be closed.
    """
    connection = HttpConnection(body_max_bytes=body_max_bytes)
    seen: list[object] = []
    head: RequestHead | None = None
    data = b""

    def answer(head: RequestHead) -> None:
        seen.append(head)
        connection.respond(200)

    for chunk in filter(None, chunks):
        connection.receive_data(chunk)
        try:
            while event := connection.next_event():
                if isinstance(event, Body):
                    data += event.data
                elif isinstance(event, EndOfRequest):
                    assert head is not None
                    answer(msgspec.structs.replace(head, body=data))
                    head, data = None, b""
                elif event.body is None:
                    head = event
                else:
                    answer(event)
        except RequestError as error:
            seen += [head, data, error.status]
            head, data = None, b""
            connection.respond(error.status)
    if head is not None:
        seen += [head, data]
    if connection.should_close:
        seen.append("close")
    return seen


def three_ways(data: bytes) -> list[object]:
    """Serve `data` whole, byte by byte, and followed by another request."""
    whole = serve([data])
    assert serve(byte_by_byte(data)) == whole
    closed = whole[-1:] == ["close"]
    assert serve([data + GET]) == (whole if closed else whole + serve([GET]))
    return whole


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (GET, b""),
        (POST.replace(b"3", b"0"), b""),
        (POST + b"abc", b"abc"),
        (EXPECT + b"abc", b"abc"),
        (HEAD[:-2] + b"Content-Length: 3\r\n\r\nabc", b"abc"),
        (CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (CHUNKED + b"0\r\n\r\n", b""),
    ],
)
def test_a_request_and_its_body(data: bytes, body: bytes) -> None:
    (request,) = three_ways(data)
    assert isinstance(request, RequestHead)
    assert request.body == body


def test_pipelined_requests_come_in_order() -> None:
    requests = three_ways(GET + POST + b"abc" + CHUNKED + b"0\r\n\r\n" + HEAD)
    assert paths(requests) == ["/a", "/b", "/c", "/e"]
    assert bodies(requests) == [b"", b"abc", b"", b""]


def test_a_pipelined_request_waits_for_the_response_before_it() -> None:
    connection = connection_with(GET + HEAD)
    assert paths(take_all(connection)) == ["/a"]
    assert connection.next_event() is None
    connection.receive_data(BAD)
    assert connection.next_event() is None
    connection.respond(200)
    assert paths(take_all(connection)) == ["/e"]


def test_an_empty_line_is_not_a_request() -> None:
    connection = connection_with(b"\r\n")
    assert connection.next_event() is None
    assert connection.state is HttpState.IDLE


def test_a_malformed_request_closes_the_connection() -> None:
    assert three_ways(BAD) == [None, b"", 400, "close"]
    assert three_ways(GET + BAD)[1:] == [None, b"", 400, "close"]
    assert three_ways(CHUNKED + b"1\r\na\r\nx\r\n")[1:] == [b"a", 400, "close"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [(GET, False), (POST, True), (CHUNKED, True), (POST.replace(b"3", b"0"), False)],
)
def test_expects_body(data: bytes, expected: bool) -> None:
    assert take_head(connection_with(data)).expects_body is expected


def test_header_lookups() -> None:
    """RFC 9110 section 5.6.1."""
    request = take_head(
        connection_with(GET[:-2] + b"X: a, ,b\t,\r\nY: n\r\nX:c\r\nX: D, e f\r\n\r\n")
    )
    assert request.header_list("x") == ["a", "b", "c", "D", "e f"]
    assert request.header_list("z") == []
    assert (request.header("x"), request.header("z")) == ("a, ,b\t,", None)
    assert request.fields == {"host": "a", "x": "a, ,b\t,", "y": "n"}


# --- one event for a whole request ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "body"), [(GET, b""), (POST + b"abc", b"abc"), (EXPECT + b"abc", b"abc")]
)
def test_a_request_that_has_arrived_is_one_event(data: bytes, body: bytes) -> None:
    connection = connection_with(data + HEAD)
    assert take_head(connection).body == body
    assert connection.state is HttpState.ANSWERING
    assert not connection.in_request
    assert connection.next_event() is None
    assert connection.send_continue() == b""
    assert b"connection" not in connection.respond(200)
    assert paths(take_all(connection)) == ["/e"]


@pytest.mark.parametrize(
    "data", [POST + b"ab", EXPECT, CHUNKED + b"0\r\n\r\n", CHUNKED + b"1\r\na\r\n0\r\n\r\n"]
)
def test_another_body_follows_as_events(data: bytes) -> None:
    connection = connection_with(data)
    assert take_head(connection).body is None
    assert connection.state is HttpState.BODY


def test_body_events() -> None:
    connection = connection_with(POST + b"a", events=1)
    assert take_all(connection) == [Body(b"a")]
    connection.receive_data(b"bc" + GET)
    assert take_all(connection) == [Body(b"bc"), EndOfRequest()]
    assert connection.state is HttpState.ANSWERING
    connection = connection_with(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", events=1)
    assert take_all(connection) == [Body(b"abc"), EndOfRequest()]


def test_the_body_is_in_the_head_event_only_if_both_have_arrived() -> None:
    connection = connection_with(POST[:-1])
    assert connection.next_event() is None
    connection.receive_data(POST[-1:] + b"abc")
    assert take_head(connection).body == b"abc"
    connection = connection_with(POST, events=1)
    connection.receive_data(b"abc")
    assert take_all(connection) == [Body(b"abc"), EndOfRequest()]


def test_a_common_request_costs_few_python_calls() -> None:
    """It took 40 when each line of a head, and each event, was a call or more."""
    connection = HttpConnection()
    request = POST[:-2] + b"Authorization: Bearer x\r\nUser-Agent: y\r\nAccept: */*\r\n\r\nabc"
    headers = (("date", "now"), ("content-type", "application/json"))
    calls: list[str] = []

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "/headrace/protocol/" in frame.f_code.co_filename:
            calls.append(frame.f_code.co_qualname)

    def exchange() -> None:
        connection.receive_data(request)
        while connection.next_event():
            connection.respond(200, headers, b"{}")

    exchange()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        exchange()
    finally:
        sys.setprofile(before)
    assert 0 < len(calls) <= 11, calls


# --- any bytes, cut anywhere ---------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(GET, GET_1_0, POST, POST + b"abc", CHUNKED, EXPECT, HEAD, BAD, b"abc", b"\r\n", b"0\r\n"),
        *(b"0\r\n\r\n", b"3\r\nabc\r\n", GET[:-2] + b"Connection: close\r\n\r\n"),
        *(POST.replace(b"3", b"9") + b"abc", EXPECT + b"abc", POST.replace(b"3", b"0")),
    ]
)


@given(
    st.lists(PIECES | st.binary(max_size=3), max_size=8).map(b"".join),
    st.lists(st.integers(0, 600), max_size=6),
    st.sampled_from([None, 2, 3, 1000]),
)
@settings(deadline=None)
def test_any_bytes_cut_anywhere_give_the_same_result(
    data: bytes, cuts: list[int], body_max_bytes: int | None
) -> None:
    """RequestError is the only exception."""
    chunks = cut_at(data, cuts)
    assert serve(chunks, body_max_bytes) == serve([data], body_max_bytes)


# --- limits --------------------------------------------------------------------------------------


def test_a_body_is_limited_by_default() -> None:
    connection = connection_with(POST.replace(b"3", b"%d" % (limits.BODY_MAX_BYTES + 1)), events=1)
    with pytest.raises(RequestError, match="over 1048576 bytes") as caught:
        connection.next_event()
    assert caught.value.status == 413
    assert connection.state is HttpState.REFUSED
    assert b"connection: close" in connection.respond(413)
    assert connection.should_close


@pytest.mark.parametrize("data", [POST + b"abc", CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"])
def test_the_limit_of_one_request_is_set_after_its_head(data: bytes) -> None:
    connection = HttpConnection(body_max_bytes=2)
    connection.receive_data(data * 2)
    assert take_head(connection).body is None
    connection.body_max_bytes = None
    assert take_all(connection) == [Body(b"abc"), EndOfRequest()]
    connection.respond(200)
    assert take_head(connection).body is None
    with pytest.raises(RequestError, match="over 2 bytes"):
        connection.next_event()


def test_a_body_at_the_limit_comes_with_its_head() -> None:
    connection = HttpConnection(body_max_bytes=3)
    connection.receive_data(POST + b"abc")
    assert take_head(connection).body == b"abc"


def test_pipelined_bytes_are_limited() -> None:
    connection = connection_with(GET, events=1)
    connection.receive_data(GET + b"x" * (PIPELINE_MAX_BYTES - len(GET)))
    connection.receive_data(b"x")
    connection.receive_data(GET)
    assert b"connection: close" in connection.respond(200)
    assert connection.should_close
    assert connection.next_event() is None


def test_a_long_body_does_not_count_as_pipelined() -> None:
    size = PIPELINE_MAX_BYTES + 1
    data = POST.replace(b"3", b"%d" % size) + b"x" * size
    connection = connection_with(data)
    assert take_head(connection).body == b"x" * size
    assert b"connection: close" not in connection.respond(200)
    connection.receive_data(data[:-1])
    assert take_all(connection)[1:] == [Body(b"x" * (size - 1))]
    connection.receive_data(b"x")
    assert take_all(connection) == [Body(b"x"), EndOfRequest()]
    assert b"connection: close" not in connection.respond(200)


# --- the end of the peer's side ------------------------------------------------------------------


def test_the_end_of_an_idle_connection() -> None:
    connection = HttpConnection()
    connection.receive_data(b"")
    assert connection.should_close
    connection = connection_with(GET, events=1)
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
    with pytest.raises(RequestError, match="ended inside") as caught:
        take_all(connection)
    assert caught.value.status == 400
    connection.respond(400)
    assert connection.should_close


def test_requests_before_the_end_are_answered() -> None:
    connection = connection_with(GET + POST + b"abc")
    connection.receive_data(b"")
    assert paths(take_all(connection)) == ["/a"]
    connection.respond(200)
    assert not connection.should_close
    assert bodies(take_all(connection)) == [b"abc"]
    connection.respond(200)
    assert connection.should_close


def test_bytes_after_the_end_raise() -> None:
    connection = connection_with(GET)
    connection.receive_data(b"")
    with pytest.raises(StateError):
        connection.receive_data(GET)
