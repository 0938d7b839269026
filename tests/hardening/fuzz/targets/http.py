"""`HttpConnection`: heads, fixed and chunked bodies, pipelining, 100-continue, upgrades.

A word in the target of a request chooses how the driver answers it: `early` closes at the head,
`stream` responds while the body comes, `upgrade` sends a 101. Otherwise it is 200 after the body.
"""

from collections.abc import Sequence
from typing import Final
from unittest import mock

import h11
from hypothesis import strategies as st
from tests.hardening.fuzz.target import Target, check_chunkings

from headrace import limits
from headrace.errors import RequestError
from headrace.protocol.http import Body, EndOfRequest, HttpConnection, HttpState, RequestHead
from headrace.protocol.http import body as body_module
from headrace.protocol.http import connection as connection_module
from headrace.protocol.http import head as head_module

BODY_MAX_BYTES: Final = 300
PIPELINE_MAX_BYTES: Final = 500
"""Small, so that inputs of a few KiB go over them."""

_BUFFER_MAX_BYTES = {
    HttpState.HEAD: limits.HEAD_MAX_BYTES,
    HttpState.BODY: max(body_module.CHUNK_LINE_MAX_BYTES, body_module.TRAILERS_MAX_BYTES),
    HttpState.EARLY: max(body_module.CHUNK_LINE_MAX_BYTES, body_module.TRAILERS_MAX_BYTES),
    HttpState.IDLE: 0,
    HttpState.CLOSED: limits.HEAD_MAX_BYTES,  # an incomplete head, at the peer's end
    HttpState.UPGRADED: 0,
}
"""What may be buffered after all events were taken."""


class Driver:
    """Serves one connection.

    `results` are its requests and its errors. `trailing_data` is what came after an upgrade.
    """

    def __init__(self) -> None:
        self.connection = HttpConnection(body_max_bytes=BODY_MAX_BYTES)
        self.results: list[object] = []
        self.trailing_data = b""
        self._head: RequestHead | None = None
        self._body = b""
        self._mode = ""

    def feed(self, chunk: bytes) -> None:
        """Pass bytes, and handle all events; b"" is the peer's end."""
        connection = self.connection
        if connection.should_close:
            return
        if connection.state is HttpState.UPGRADED:
            self.trailing_data += chunk
            return
        connection.receive_data(chunk)
        while self._handle_event():
            pass
        allowed = _BUFFER_MAX_BYTES[connection.state]
        assert len(connection._buffer) <= allowed, (connection.state, len(connection._buffer))

    def _handle_event(self) -> bool:
        connection = self.connection
        try:
            event = connection.next_event()
            if isinstance(event, RequestHead):
                self._begin(event)
            elif isinstance(event, Body):
                assert event.data
                self._body += event.data
                if self._mode == "stream":
                    connection.send_body(event.data)
            elif isinstance(event, EndOfRequest):
                self._end()
        except RequestError as error:
            self._refuse(error)
        else:
            if event is None:
                return False
        return connection.state not in (HttpState.UPGRADED, HttpState.CLOSED)

    def _begin(self, head: RequestHead) -> None:
        self._head = head
        self._body = b""
        words = [word for word in ("early", "stream", "upgrade") if word in head.target]
        self._mode = words[0] if words else ""
        if self._mode == "early":
            self._record("early")
            self.connection.respond(403, body=b"no", close=True)
        elif head.body is not None:
            self._body = head.body
            if self._mode == "stream":
                self.connection.start_response(200)
                if head.body:
                    self.connection.send_body(head.body)
            self._end()
        else:
            self.connection.send_continue()
            if self._mode == "stream":
                self.connection.start_response(200)

    def _end(self) -> None:
        self._record("request", self._body)
        if self._mode == "stream":
            self.connection.end_response()
        elif self._mode == "upgrade":
            self.connection.upgrade([("upgrade", "test")])
            self.trailing_data = self.connection.trailing_data
        else:
            self.connection.respond(200, body=b"ok")

    def _refuse(self, error: RequestError) -> None:
        assert 400 <= error.status <= 599
        self.results.append(("error", error.status, error.detail, self._body))
        if self.connection.state is HttpState.STREAMING:
            self.connection.end_response()
        else:
            self.connection.respond(error.status, error.headers, b"")
        assert self.connection.should_close

    def _record(self, *what: object) -> None:
        head = self._head
        assert head is not None
        self.results.append(
            (*what, head.method, head.target, head.path, head.query, head.headers, head.keep_alive)
        )


def read(chunks: Sequence[bytes]) -> list[object]:
    """Return what a connection that gets these reads makes of them."""
    driver = Driver()
    for chunk in [*chunks, b""]:
        driver.feed(chunk)
    return [*driver.results, driver.connection.state, driver.trailing_data]


def check(data: bytes) -> None:
    whole = check_chunkings(data, read)
    with mock.patch.object(head_module, "read_common_head", return_value=None):
        assert read([data] if data else []) == whole, "the shortcut for common heads differs"
    check_unanswered(data)
    check_h11(data)


def check_unanswered(data: bytes) -> None:
    """Check the limit for what waits while a request is answered."""
    with mock.patch.object(connection_module, "PIPELINE_MAX_BYTES", PIPELINE_MAX_BYTES):
        connection = HttpConnection(body_max_bytes=BODY_MAX_BYTES)
        for start in range(0, len(data), 100):
            if connection.should_close:
                break
            connection.receive_data(data[start : start + 100])
            try:
                while connection.next_event() is not None:
                    pass
            except RequestError:
                connection.respond(400)
            if connection.state is HttpState.ANSWERING:
                assert len(connection._buffer) <= PIPELINE_MAX_BYTES
        if connection.state is HttpState.ANSWERING:
            connection.respond(200)


def check_h11(data: bytes) -> None:
    """Check that h11 reads each accepted request in the same way, and as long as we do."""
    connection = HttpConnection(body_max_bytes=BODY_MAX_BYTES)
    if data:
        connection.receive_data(data)
    while connection.state is HttpState.HEAD:
        begin = bytes(connection._buffer)
        begin = begin[(len(begin) - len(begin.lstrip(b"\r\n"))) :]
        try:
            head = connection.next_event()
            if not isinstance(head, RequestHead):
                return
            body = head.body
            while body is None or connection.in_request:
                event = connection.next_event()
                if event is None:
                    return
                body = (body or b"") + (event.data if isinstance(event, Body) else b"")
        except RequestError:
            return
        expected = (head.method, head.target, body, bytes(connection._buffer))
        assert h11_request(begin) in (expected, None)
        connection.respond(200)


def h11_request(data: bytes) -> tuple[str, str, bytes, bytes] | None:
    """Return the method, the target and the body of the first request, and what follows it.

    Return None for trailers that h11 refuses: we ignore their content.
    """
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    peer.receive_data(data)
    request = peer.next_event()
    assert isinstance(request, h11.Request)
    body = b""
    while True:
        try:
            event = peer.next_event()
        except h11.RemoteProtocolError as error:
            if str(error).startswith(("illegal chunk header", "malformed chunk footer")):
                raise
            return None
        if isinstance(event, h11.EndOfMessage):
            break
        assert isinstance(event, h11.Data), event
        body += event.data
    rest, _ = peer.trailing_data
    return request.method.decode(), request.target.decode(), body, bytes(rest)


# --- inputs --------------------------------------------------------------------------------------

TARGETS = st.sampled_from(
    [
        *("/", "/v1/send", "/early", "/stream", "/upgrade", "/a?b=c&d", "/%2F%zz", "*", "x:y"),
        *("http://example.com/x?y", "http://[::1]:80", "http://u@h/", "/#", "/" + "a" * 300),
    ]
)
HEADER_LINES = st.sampled_from(
    [
        *(
            "Host: a",
            "Host: b:80",
            "host:",
            "Host: a b",
            "Connection: close",
            "Expect: 100-continue",
        ),
        *("Connection: keep-alive", "Expect: other", "Content-Length: 5", "Content-Length: 05"),
        *("Content-Length: 5, 5", "Content-Length: -1", "Content-Length: 301", "Content-Length: 0"),
        *(
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: gzip, chunked",
        ),
        *(
            "Transfer-Encoding: Chunked",
            "Content-Length : 5",
            "A: \xff",
            "A:\tb\t ",
            " folded",
            "A: \0",
        ),
        *("no colon", ": no name", "A: b\rc", "Upgrade: websocket", "A\xe9: b", "x: " + "y" * 200),
    ]
)
METHODS = st.sampled_from(
    ["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "PUT", "get", "G\u00e9T", ""]
)
VERSIONS = st.sampled_from(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/2.0", "HTTP/1.", "http/1.1"])
LINE_ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b" \r\n", b""])
SIZES = st.sampled_from(
    [b"0", b"1", b"5", b"05", b"A", b"a;x=y", b"5 ; x", b"-1", b"0x5", b"", b"fffffff"]
)
CHUNKS = st.tuples(SIZES, LINE_ENDS, st.binary(max_size=8) | st.just(b"hello"), LINE_ENDS).map(
    b"".join
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    line = f"{draw(METHODS)} {draw(TARGETS)} {draw(VERSIONS)}"
    lines = [line, *(["Host: a"] if draw(st.integers(0, 5)) else []), *draw(HEADER_LISTS)]
    pieces = [text.encode("latin-1") + draw(LINE_ENDS) for text in lines]
    return b"".join([*pieces, draw(LINE_ENDS), draw(BODIES)])


HEADER_LISTS = st.lists(HEADER_LINES, max_size=4)
BODIES = st.one_of(
    st.just(b""),
    st.just(b"hello"),
    st.lists(CHUNKS, max_size=4).map(b"".join),
    st.just(b"5\r\nhello\r\n0\r\n\r\n"),
    st.just(b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"),
    st.binary(max_size=20),
)

TARGET = Target(
    "http",
    check,
    st.lists(requests() | st.just(b"\r\n"), min_size=1, max_size=3).map(b"".join),
    (
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Host: a\r\n",
        b"HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n",
        b"0\r\n\r\n",
        b"Connection: close\r\n",
        b"stream",
        b"early",
        b"upgrade",
    ),
)
