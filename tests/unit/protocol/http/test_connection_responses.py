"""headrace.protocol.http.connection: responses, read by h11's client, and the transitions."""

from collections.abc import Callable

import h11
import pytest

from headrace.errors import RequestError, StateError
from headrace.protocol.http import EndOfRequest, HttpConnection, HttpState, RequestHead
from headrace.protocol.http.states import TRANSITIONS, HttpStep

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
GET_1_0 = b"GET /a HTTP/1.0\r\n\r\n"
KEEP_1_0 = b"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
CLOSE = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"
HEAD = b"HEAD /e HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
EXPECT = b"POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
BAD = b"GET /f HTTP/1.1\r\n\r\n"
UPGRADE = GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"


def connection_with(data: bytes, events: int = 0) -> HttpConnection:
    """Return a connection that received `data` and returned that many events."""
    connection = HttpConnection()
    connection.receive_data(data)
    for _ in range(events):
        assert connection.next_event() is not None
    return connection


def refused(data: bytes) -> HttpConnection:
    connection = connection_with(data)
    with pytest.raises(RequestError):
        connection.next_event()
    return connection


def read_response(response_bytes: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body as h11's client reads them; the response must be complete."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(response_bytes)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    headers = {name.decode(): value.decode() for name, value in response.headers}
    if "close" in headers.get("connection", ""):
        client.receive_data(b"")
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert not client.trailing_data[0]
    return response.status_code, headers, body


# --- whole responses -----------------------------------------------------------------------------


def test_a_response_keeps_the_connection_open() -> None:
    connection = connection_with(GET, events=1)
    response = connection.respond(200, [("content-type", "text/plain")], b"hello")
    assert read_response(response) == (
        200,
        {"content-type": "text/plain", "content-length": "5"},
        b"hello",
    )
    assert connection.state is HttpState.IDLE
    assert not connection.should_close


@pytest.mark.parametrize(
    ("request_", "header", "closes"),
    [
        (GET, None, False),
        (CLOSE, "close", True),
        (GET_1_0, "close", True),
        (KEEP_1_0, "keep-alive", False),
    ],
)
def test_keep_alive(request_: bytes, header: str | None, closes: bool) -> None:
    """RFC 9112 section 9.3."""
    connection = connection_with(request_, events=1)
    assert read_response(connection.respond(200))[1].get("connection") == header
    assert connection.should_close is closes


def test_the_caller_may_close() -> None:
    connection = connection_with(GET, events=1)
    assert read_response(connection.respond(200, close=True))[1]["connection"] == "close"
    assert connection.should_close


def test_one_request_does_not_change_the_next() -> None:
    connection = connection_with(HEAD + KEEP_1_0 + GET)
    for expected in (b"", b"hi", b"hi"):
        assert isinstance(connection.next_event(), RequestHead)
        response = connection.respond(200, body=b"hi")
        assert response.partition(b"\r\n\r\n")[2] == expected
    assert b"connection" not in response


def test_responses_without_a_body() -> None:
    """RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5."""
    response = connection_with(HEAD, events=1).respond(200, body=b"hello")
    assert read_response(response, "HEAD") == (200, {"content-length": "5"}, b"")
    for status in (204, 304):
        response = connection_with(GET, events=1).respond(status, body=b"hello")
        assert read_response(response) == (status, {}, b"")


@pytest.mark.parametrize("data", [POST, POST + b"ab", CHUNKED + b"0\r\n\r\n"])
def test_a_response_to_an_incomplete_request_closes(data: bytes) -> None:
    connection = connection_with(data, events=1)
    assert read_response(connection.respond(401))[1]["connection"] == "close"
    assert connection.should_close
    connection.receive_data(b"c" + GET)
    assert connection.next_event() is None


def test_a_refusal_keeps_the_connection_if_the_body_came_with_the_head() -> None:
    connection = connection_with(POST + b"abc" + GET, events=1)
    assert "connection" not in read_response(connection.respond(401))[1]
    assert isinstance(connection.next_event(), RequestHead)


@pytest.mark.parametrize("events", [1, 2])
def test_a_response_after_the_body_was_read_keeps_the_connection(events: int) -> None:
    """Also if EndOfRequest was not taken."""
    connection = connection_with(POST, events=1)
    connection.receive_data(b"abc" + GET)
    for _ in range(events):
        connection.next_event()
    assert "connection" not in read_response(connection.respond(200))[1]
    assert isinstance(connection.next_event(), RequestHead)


def test_a_refused_request_gets_one_response() -> None:
    connection = refused(BAD + GET)
    assert connection.state is HttpState.REFUSED
    assert connection.next_event() is None
    connection.receive_data(GET)
    assert read_response(connection.respond(400, body=b"why"))[2] == b"why"
    assert connection.should_close
    with pytest.raises(StateError):
        connection.respond(400)


@pytest.mark.parametrize("start", [b"", GET[:9]])
def test_a_response_without_a_request_closes(start: bytes) -> None:
    """408 (RFC 9110 section 15.5.9), or 503 when there are too many connections."""
    connection = HttpConnection()
    if start:
        connection.receive_data(start)
    assert read_response(connection.respond(408))[1]["connection"] == "close"
    assert connection.should_close


def test_after_invalid_headers_a_response_is_still_due() -> None:
    connection = connection_with(GET, events=1)
    with pytest.raises(ValueError, match="CR, LF"):
        connection.respond(200, [("location", "/\r\n")])
    assert read_response(connection.respond(500))[0] == 500


# --- streamed responses --------------------------------------------------------------------------


def test_a_streamed_response() -> None:
    connection = connection_with(GET + GET, events=1)
    response = connection.start_response(200, [("content-type", "text/event-stream")])
    assert connection.state is HttpState.STREAMING
    response += (
        connection.send_body(b"a" * 20) + connection.send_body(b"") + connection.send_body(b"b")
    )
    assert connection.next_event() is None
    response += connection.end_response()
    assert read_response(response) == (
        200,
        {"content-type": "text/event-stream", "transfer-encoding": "chunked"},
        b"a" * 20 + b"b",
    )
    assert isinstance(connection.next_event(), RequestHead)


def test_a_streamed_response_in_http_1_0_ends_with_the_connection() -> None:
    connection = connection_with(KEEP_1_0, events=1)
    response = connection.start_response(200) + connection.send_body(b"a")
    response += connection.end_response()
    assert read_response(response) == (200, {"connection": "close"}, b"a")
    assert connection.should_close


def test_a_streamed_response_until_close() -> None:
    """Its pieces are the same bytes for every client."""
    connection = connection_with(GET, events=1)
    response = connection.start_response(200, until_close=True) + connection.send_body(b"a")
    response += connection.end_response()
    assert read_response(response) == (200, {"connection": "close"}, b"a")
    assert connection.should_close


def test_a_streamed_response_without_a_body() -> None:
    for request, status in ((HEAD, 200), (GET, 204), (GET, 304)):
        connection = connection_with(request, events=1)
        response = connection.start_response(status) + connection.send_body(b"a")
        response += connection.end_response()
        assert read_response(response, request[:4].decode().strip()) == (status, {}, b"")


def test_a_response_can_begin_before_the_body_is_read() -> None:
    connection = connection_with(POST + b"ab", events=1)
    connection.start_response(200)
    assert (connection.state, connection.in_request) == (HttpState.EARLY, True)
    connection.receive_data(b"c" + GET)
    assert connection.next_event() is not None
    assert isinstance(connection.next_event(), EndOfRequest)
    assert connection.state is HttpState.STREAMING
    connection.send_body(b"x")
    connection.end_response()
    assert isinstance(connection.next_event(), RequestHead)


def test_a_response_that_ends_before_the_body_is_read_closes() -> None:
    connection = connection_with(POST + b"ab", events=1)
    connection.start_response(200)
    connection.end_response()
    assert connection.should_close


def test_a_fault_in_the_body_does_not_stop_a_response_that_has_begun() -> None:
    connection = connection_with(POST + b"ab", events=2)
    connection.start_response(200)
    connection.receive_data(b"")
    with pytest.raises(RequestError):
        connection.next_event()
    with pytest.raises(StateError):
        connection.respond(400)
    assert connection.end_response() == b"0\r\n\r\n"
    assert connection.should_close


# --- 100-continue and upgrades -------------------------------------------------------------------


def test_100_continue_is_sent_once_and_only_if_the_client_waits() -> None:
    """RFC 9110 section 10.1.1."""
    connection = connection_with(EXPECT, events=1)
    assert connection.send_continue() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.send_continue() == b""
    connection.receive_data(b"abc")
    assert connection.next_event() is not None
    assert "connection" not in read_response(connection.respond(200))[1]
    for data, events in (
        (POST, 1),
        (EXPECT + b"a", 1),
        (EXPECT + b"a", 2),
        (EXPECT.replace(b"3", b"0"), 1),
        (EXPECT.replace(b"1.1", b"1.0"), 1),
        (EXPECT[:-1], 0),
    ):
        assert connection_with(data, events).send_continue() == b""


def test_no_100_continue_for_a_body_over_the_limit() -> None:
    connection = connection_with(EXPECT, events=1)
    connection.body_max_bytes = 2
    with pytest.raises(RequestError, match="over 2 bytes"):
        connection.send_continue()
    assert read_response(connection.respond(413))[1]["connection"] == "close"


def test_upgrade() -> None:
    connection = connection_with(UPGRADE + b"\x81\x80abcd", events=1)
    assert connection.upgrade([("upgrade", "websocket"), ("connection", "upgrade")]) == (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    )
    assert connection.trailing_data == b"\x81\x80abcd"
    assert connection.state is HttpState.UPGRADED
    assert not connection.should_close
    assert connection.next_event() is None
    with pytest.raises(StateError):
        connection.receive_data(b"x")


# --- transitions ---------------------------------------------------------------------------------


def upgraded() -> HttpConnection:
    connection = connection_with(UPGRADE, events=1)
    connection.upgrade([])
    return connection


def streaming(data: bytes, events: int) -> HttpConnection:
    connection = connection_with(data, events)
    connection.start_response(200)
    return connection


def closed() -> HttpConnection:
    connection = HttpConnection()
    connection.receive_data(b"")
    return connection


@pytest.mark.parametrize("state", HttpState)
def test_a_transition_outside_the_table_raises(state: HttpState) -> None:
    steps: dict[HttpStep, Callable[[HttpConnection], object]] = {
        HttpStep.RESPOND: lambda connection: connection.respond(200),
        HttpStep.START: lambda connection: connection.start_response(200),
        HttpStep.SEND: lambda connection: connection.send_body(b"x"),
        HttpStep.FINISH: lambda connection: connection.end_response(),
        HttpStep.UPGRADE: lambda connection: connection.upgrade([]),
    }
    makers: dict[HttpState, Callable[[], HttpConnection]] = {
        HttpState.IDLE: HttpConnection,
        HttpState.HEAD: lambda: connection_with(b"G"),
        HttpState.BODY: lambda: connection_with(POST, 1),
        HttpState.EARLY: lambda: streaming(POST, 1),
        HttpState.ANSWERING: lambda: connection_with(GET, 1),
        HttpState.STREAMING: lambda: streaming(GET, 1),
        HttpState.REFUSED: lambda: refused(BAD),
        HttpState.UPGRADED: upgraded,
        HttpState.CLOSED: closed,
    }
    for step, act in steps.items():
        connection = makers[state]()
        assert connection.state is state
        assert connection.in_request is (state in (HttpState.HEAD, HttpState.BODY, HttpState.EARLY))
        if (state, step) in TRANSITIONS:
            act(connection)
        else:
            with pytest.raises(StateError, match=f"{step.value} while {state.value}"):
                act(connection)
            assert connection.state is state
