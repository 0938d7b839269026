"""headrace.protocol.http: its answers, read by h11's client, and the table of its states."""

from collections.abc import Callable

import h11
import pytest

from headrace.errors import RequestError, StateError
from headrace.protocol.http import EndOfRequest, HttpConnection, Request, State
from headrace.protocol.state import NEXT, Step

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
GET_1_0 = b"GET /a HTTP/1.0\r\n\r\n"
KEEP_1_0 = b"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
CLOSE = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"
HEAD = b"HEAD /e HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
EXPECT = b"POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
BAD = b"GET /f HTTP/1.1\r\n\r\n"
UPGRADE = GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"


def connection_with(data: bytes, events: int = 0) -> HttpConnection:
    """A connection that got `data` and gave so many events."""
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


def read_answer(answer: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """What h11's client reads: status, headers, body; the answer must be whole."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
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


# --- whole answers -------------------------------------------------------------------------------


def test_an_answer_keeps_the_connection() -> None:
    connection = connection_with(GET, events=2)
    answer = connection.respond(200, [("content-type", "text/plain")], b"hello")
    assert read_answer(answer) == (
        200,
        {"content-type": "text/plain", "content-length": "5"},
        b"hello",
    )
    assert connection.state is State.IDLE
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
    connection = connection_with(request_, events=2)
    assert read_answer(connection.respond(200))[1].get("connection") == header
    assert connection.should_close is closes


def test_the_caller_may_close() -> None:
    connection = connection_with(GET, events=2)
    assert read_answer(connection.respond(200, close=True))[1]["connection"] == "close"
    assert connection.should_close


def test_one_request_does_not_change_the_next() -> None:
    connection = connection_with(HEAD + KEEP_1_0 + GET)
    for expected in (b"", b"hi", b"hi"):
        assert isinstance(connection.next_event(), Request)
        answer = connection.respond(200, body=b"hi")
        assert answer.partition(b"\r\n\r\n")[2] == expected
    assert b"connection" not in answer


def test_no_body_where_there_can_be_none() -> None:
    """RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5."""
    answer = connection_with(HEAD, events=1).respond(200, body=b"hello")
    assert read_answer(answer, "HEAD") == (200, {"content-length": "5"}, b"")
    for status in (204, 304):
        answer = connection_with(GET, events=1).respond(status, body=b"hello")
        assert read_answer(answer) == (status, {}, b"")


def test_an_answer_before_the_body_was_read_closes() -> None:
    for connection in (connection_with(POST, events=1), connection_with(POST + b"abc", events=1)):
        assert read_answer(connection.respond(401))[1]["connection"] == "close"
        assert connection.should_close
        connection.receive_data(b"abc" + GET)
        assert connection.next_event() is None


@pytest.mark.parametrize("events", [2, 3])
def test_an_answer_after_the_body_was_read_does_not(events: int) -> None:
    connection = connection_with(POST + b"abc" + GET, events)
    assert "connection" not in read_answer(connection.respond(200))[1]
    assert isinstance(connection.next_event(), Request)


def test_a_refused_request_gets_one_answer() -> None:
    connection = refused(BAD + GET)
    assert connection.state is State.REFUSED
    assert connection.next_event() is None
    connection.receive_data(GET)
    assert read_answer(connection.respond(400, body=b"why"))[2] == b"why"
    assert connection.should_close
    with pytest.raises(StateError):
        connection.respond(400)


@pytest.mark.parametrize("start", [b"", GET[:9]])
def test_an_answer_without_a_request_closes(start: bytes) -> None:
    """408 (RFC 9110 section 15.5.9), or 503 to a connection too many."""
    connection = HttpConnection()
    if start:
        connection.receive_data(start)
    assert read_answer(connection.respond(408))[1]["connection"] == "close"
    assert connection.should_close


def test_headers_that_cannot_be_sent_leave_the_answer_due() -> None:
    connection = connection_with(GET, events=2)
    with pytest.raises(ValueError, match="CR, LF"):
        connection.respond(200, [("location", "/\r\n")])
    assert read_answer(connection.respond(500))[0] == 500


# --- streamed answers ----------------------------------------------------------------------------


def test_a_streamed_answer() -> None:
    connection = connection_with(GET + GET, events=2)
    answer = connection.start_response(200, [("content-type", "text/event-stream")])
    assert connection.state is State.STREAMING
    answer += (
        connection.send_body(b"a" * 20) + connection.send_body(b"") + connection.send_body(b"b")
    )
    assert connection.next_event() is None
    answer += connection.end_response()
    assert read_answer(answer) == (
        200,
        {"content-type": "text/event-stream", "transfer-encoding": "chunked"},
        b"a" * 20 + b"b",
    )
    assert isinstance(connection.next_event(), Request)


def test_a_streamed_answer_in_http_1_0_ends_with_the_connection() -> None:
    connection = connection_with(KEEP_1_0, events=2)
    answer = connection.start_response(200) + connection.send_body(b"a")
    answer += connection.end_response()
    assert read_answer(answer) == (200, {"connection": "close"}, b"a")
    assert connection.should_close


def test_a_streamed_answer_may_end_with_the_connection_on_wish() -> None:
    """Then its pieces are the same bytes for every client."""
    connection = connection_with(GET, events=2)
    answer = connection.start_response(200, until_close=True) + connection.send_body(b"a")
    answer += connection.end_response()
    assert read_answer(answer) == (200, {"connection": "close"}, b"a")
    assert connection.should_close


def test_a_streamed_answer_that_has_no_body() -> None:
    for request, status in ((HEAD, 200), (GET, 204), (GET, 304)):
        connection = connection_with(request, events=2)
        answer = connection.start_response(status) + connection.send_body(b"a")
        answer += connection.end_response()
        assert read_answer(answer, request[:4].decode().strip()) == (status, {}, b"")


def test_an_answer_may_begin_before_the_body_is_read() -> None:
    connection = connection_with(POST + b"ab", events=1)
    connection.start_response(200)
    assert (connection.state, connection.in_request) == (State.EARLY, True)
    connection.receive_data(b"c" + GET)
    assert connection.next_event() is not None
    assert isinstance(connection.next_event(), EndOfRequest)
    assert connection.state is State.STREAMING
    connection.send_body(b"x")
    connection.end_response()
    assert isinstance(connection.next_event(), Request)


def test_an_answer_that_ends_before_the_body_is_read_closes() -> None:
    connection = connection_with(POST + b"ab", events=1)
    connection.start_response(200)
    connection.end_response()
    assert connection.should_close


def test_a_fault_in_the_body_under_a_begun_answer_lets_it_end() -> None:
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


def test_100_continue_is_sent_once_and_only_if_it_is_waited_for() -> None:
    """RFC 9110 section 10.1.1."""
    connection = connection_with(EXPECT, events=1)
    assert connection.send_continue() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.send_continue() == b""
    connection.receive_data(b"abc")
    assert connection.next_event() is not None
    assert "connection" not in read_answer(connection.respond(200))[1]
    for data, events in (
        (POST, 1),
        (EXPECT + b"a", 1),
        (EXPECT + b"a", 2),
        (EXPECT.replace(b"3", b"0"), 1),
        (EXPECT.replace(b"1.1", b"1.0"), 1),
        (EXPECT[:-1], 0),
    ):
        assert connection_with(data, events).send_continue() == b""


def test_a_refused_body_is_not_asked_for() -> None:
    connection = connection_with(EXPECT, events=1)
    connection.body_max_bytes = 2
    with pytest.raises(RequestError, match="over 2 bytes"):
        connection.send_continue()
    assert read_answer(connection.respond(413))[1]["connection"] == "close"


def test_upgrade() -> None:
    connection = connection_with(UPGRADE + b"\x81\x80abcd", events=1)
    assert connection.upgrade([("upgrade", "websocket"), ("connection", "upgrade")]) == (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    )
    assert connection.trailing_data == b"\x81\x80abcd"
    assert connection.state is State.UPGRADED
    assert not connection.should_close
    assert connection.next_event() is None
    with pytest.raises(StateError):
        connection.receive_data(b"x")


# --- the table -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("state", State)
def test_what_the_table_forbids_raises(state: State) -> None:
    steps: dict[Step, Callable[[HttpConnection], object]] = {
        Step.RESPOND: lambda connection: connection.respond(200),
        Step.START: lambda connection: connection.start_response(200),
        Step.SEND: lambda connection: connection.send_body(b"x"),
        Step.FINISH: lambda connection: connection.end_response(),
        Step.UPGRADE: lambda connection: connection.upgrade([]),
    }
    makers: dict[State, Callable[[], HttpConnection]] = {
        State.IDLE: HttpConnection,
        State.HEAD: lambda: connection_with(b"G"),
        State.BODY: lambda: connection_with(POST, 1),
        State.EARLY: lambda: streaming(POST, 1),
        State.ANSWERING: lambda: connection_with(GET, 2),
        State.STREAMING: lambda: streaming(GET, 2),
        State.REFUSED: lambda: refused(BAD),
        State.UPGRADED: upgraded,
        State.CLOSED: closed,
    }
    for step, act in steps.items():
        connection = makers[state]()
        assert connection.state is state
        assert connection.in_request is (state in (State.HEAD, State.BODY, State.EARLY))
        if (state, step) in NEXT:
            act(connection)
        else:
            with pytest.raises(StateError, match=f"{step.value} while {state.value}"):
                act(connection)
            assert connection.state is state
