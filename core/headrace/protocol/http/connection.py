"""One server-side HTTP/1.1 connection without its socket (RFC 9112).

    connection = HttpConnection()
    connection.receive_data(data)            # bytes in; b"" when the peer ends its side
    while event := connection.next_event():  # events out
        ...
        write(connection.respond(200))       # bytes to send
    if connection.should_close: ...          # after writing what was returned

A request begins with a RequestHead. If its `body` is not None, the request is complete: it has no
body (`b""`), or a Content-Length within `body_max_bytes` and the whole body had arrived. Otherwise
Body events and one EndOfRequest follow; chunked bodies always follow. How the peer cut its bytes
into writes decides only that: the joined body and all errors are the same.

`respond` is allowed at any time after a RequestHead, for example to refuse a request by its head.
If the request is incomplete, its rest is not read and the connection closes after the response.

Bytes after a request wait until its response is complete; then `next_event` returns the next one.
Call `next_event` until it returns None after each `receive_data` and each response, or stop reading
from the peer: the bytes of a body that nobody takes are kept. `states.py` has all states and
transitions.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from headrace import limits
from headrace.errors import RequestError, StateError
from headrace.protocol.http.body import BodyReader, ChunkedBody, FixedBody, check_length
from headrace.protocol.http.events import Body, EndOfRequest, HttpEvent, RequestHead
from headrace.protocol.http.head import HeadReader
from headrace.protocol.http.response import BODILESS, CONTINUE, ResponseFraming, encode_head
from headrace.protocol.http.states import TRANSITIONS, HttpState, HttpStep

PIPELINE_MAX_BYTES: Final = 256 * 1024
"""What can wait while a request is answered; over it the connection closes after the response."""


class HttpConnection:
    """Reads requests from one peer's bytes, and returns responses as bytes.

    `body_max_bytes` limits each request body: over it 413, None is no limit. Assign it after a
    RequestHead whose `body` is None, before the next call, to change it for that request alone.
    """

    __slots__ = (
        "_awaits_continue",
        "_body_reader",
        "_buffer",
        "_default_body_max_bytes",
        "_framing",
        "_head_reader",
        "_http_version",
        "_keep_alive",
        "_method",
        "_peer_ended",
        "_state",
        "body_max_bytes",
        "trailing_data",
    )

    def __init__(self, *, body_max_bytes: int | None = limits.BODY_MAX_BYTES) -> None:
        self._buffer = bytearray()
        self._default_body_max_bytes = body_max_bytes
        self._head_reader = HeadReader()
        self._peer_ended = False
        self._state = HttpState.IDLE
        self.trailing_data = b""
        """After `upgrade`: the bytes after the request, in the new protocol."""
        self._forget_request()

    def _forget_request(self) -> None:
        self._awaits_continue = False
        self._body_reader: BodyReader | None = None  # if the body follows its head as events
        self._framing = ResponseFraming.NONE  # of the response that has begun
        self._http_version = "1.1"
        self._keep_alive = True
        self._method = ""
        self.body_max_bytes = self._default_body_max_bytes

    @property
    def state(self) -> HttpState:
        """The current state."""
        return self._state

    @property
    def in_request(self) -> bool:
        """True if a request has begun and is incomplete."""
        return self._state in (HttpState.HEAD, HttpState.BODY, HttpState.EARLY)

    @property
    def peer_ended(self) -> bool:
        """True if the peer has ended its side; its requests are still answered."""
        return self._peer_ended

    @property
    def should_close(self) -> bool:
        """True if the connection must be closed once what was returned is written."""
        return self._state is HttpState.CLOSED

    @property
    def buffered_bytes(self) -> int:
        """The number of bytes that have been received and not been taken as events."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer, or b"" when it has ended its side.

        Raises StateError after `upgrade`, and for bytes after the end.
        """
        state = self._state
        if not data:
            self._peer_ended = True
            if state is HttpState.IDLE:
                self._move(HttpStep.CLOSE)
        elif state is HttpState.UPGRADED or self._peer_ended:
            raise StateError("receiving bytes after the upgrade or after the peer's end")
        elif state is not HttpState.REFUSED and state is not HttpState.CLOSED:
            # In these two, bytes are dropped: RFC 9112 section 9.6, the peer must get the response.
            self._buffer += data
            if state is HttpState.IDLE:
                self._state = TRANSITIONS[state, HttpStep.RECEIVE]
            elif len(self._buffer) > PIPELINE_MAX_BYTES and not self.in_request:
                # RFC 9112 section 9.3.2: a client must be ready to send them again.
                self._buffer.clear()
                self._keep_alive = False

    def next_event(self) -> HttpEvent | None:
        """Return the next event, or None until more bytes arrive or the response is complete.

        Raises RequestError for a malformed request: the statuses are listed at `HeadReader.read`
        and `ChunkedBody.read`, and 400 if the peer ends its side inside a body. Send one
        `respond` then; it closes the connection.
        """
        state = self._state
        try:
            if state is HttpState.HEAD:
                return self._read_head()
            if state is HttpState.BODY or state is HttpState.EARLY:
                return self._read_body()
        except RequestError:
            self._refuse()
            raise
        return None

    def _read_head(self) -> RequestHead | None:
        buffer = self._buffer
        request = self._head_reader.read(buffer)
        if request is None:
            if self._peer_ended:
                self._move(HttpStep.CLOSE)
            elif not buffer:
                self._move(HttpStep.SKIP)
            return None
        self._method = request.method
        self._http_version = version = request.http_version
        fields = request.fields
        if "connection" in fields or version == "1.0":
            self._keep_alive = request.keep_alive
        reader: BodyReader | None = None
        if "transfer-encoding" in fields:
            reader = ChunkedBody()
        elif "content-length" in fields:
            length = int(fields["content-length"])
            limit = self.body_max_bytes
            if length <= len(buffer) and (limit is None or length <= limit):
                body = bytes(memoryview(buffer)[:length])
                del buffer[:length]
                request = msgspec.structs.replace(request, body=body)
            else:
                reader = FixedBody(length)
        if reader is None:
            self._state = TRANSITIONS[self._state, HttpStep.WHOLE_REQUEST]
            return request
        self._body_reader = reader
        self._awaits_continue = "expect" in fields and version == "1.1"
        self._move(HttpStep.REQUEST_HEAD)
        return msgspec.structs.replace(request, body=None)

    def _read_body(self) -> Body | EndOfRequest | None:
        body = self._body_reader
        assert body is not None
        if not body.done:
            data = body.read(self._buffer, self.body_max_bytes)
            if data:
                self._awaits_continue = False
                return Body(data)
            if not body.done:
                if self._peer_ended:
                    raise RequestError(400, "The connection ended inside the request body.")
                return None
        self._move(HttpStep.END_OF_REQUEST)
        return EndOfRequest()

    def send_continue(self) -> bytes:
        """Return a 100 (Continue) if the peer waits for one before it sends its body, else b"".

        Raises RequestError 413 if the announced body is over `body_max_bytes`.
        """
        if self._state is not HttpState.BODY or not self._awaits_continue:
            return b""
        self._awaits_continue = False
        if self._buffer:
            # RFC 9110 section 10.1.1: it can be omitted if the body has begun to arrive.
            return b""
        assert self._body_reader is not None
        try:
            check_length(self._body_reader.length, self.body_max_bytes)
        except RequestError:
            self._refuse()
            raise
        return CONTINUE

    def respond(
        self,
        status: int,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        close: bool = False,
    ) -> bytes:
        """Return a whole response; `close` makes it the last of the connection.

        `status` is 200 or more. `headers` do not include Content-Length. A HEAD request gets the
        length of `body` without the body (RFC 9110 section 9.3.2); 204 and 304 get neither. Without
        a complete request it is a response to the connection itself (408, 503) and closes it.

        Raises StateError if a response has begun or was sent, and ValueError for headers that
        cannot be sent; a response is then still due.
        """
        if self._body_reader is not None:
            self._end_read_request()
        after = self._after(HttpStep.RESPOND)
        close = close or not self._keep_alive or after is HttpState.CLOSED
        head = encode_head(status, tuple(headers), close=close, http_version=self._http_version)
        if status in BODILESS:
            response = head + b"\r\n"
        elif self._method == "HEAD":
            response = b"%bcontent-length: %d\r\n\r\n" % (head, len(body))
        else:
            response = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        self._state = after
        self._end_exchange(close)
        return response

    def start_response(
        self, status: int, headers: Sequence[tuple[str, str]] = (), *, until_close: bool = False
    ) -> bytes:
        """Return the head of a response whose body follows in pieces; raises as `respond`.

        The body is chunked. It ends with the connection for an HTTP/1.0 client, and with
        `until_close`, which makes its pieces the same bytes for every client.
        """
        self._end_read_request()
        after = self._after(HttpStep.START)
        version = self._http_version
        framing = ResponseFraming.of(status, self._method, version, until_close=until_close)
        close = not self._keep_alive or framing is ResponseFraming.CLOSE
        head = encode_head(status, tuple(headers), close=close, http_version=version)
        self._state = after
        self._framing = framing
        self._keep_alive = not close
        return head + framing.header() + b"\r\n"

    def send_body(self, data: bytes) -> bytes:
        """Return the bytes of a piece of the response body; b"" if the response has no body."""
        self._move(HttpStep.SEND)
        return self._framing.encode(data)

    def end_response(self) -> bytes:
        """Return the bytes that end the response body."""
        self._end_read_request()
        self._move(HttpStep.FINISH)
        end = self._framing.end()
        self._end_exchange(not self._keep_alive)
        return end

    def upgrade(self, headers: Sequence[tuple[str, str]]) -> bytes:
        """Return a 101 (Switching Protocols); the bytes after the request are in `trailing_data`.

        Raises StateError unless the request is complete and has no response yet.
        """
        self._end_read_request()
        after = self._after(HttpStep.UPGRADE)
        head = encode_head(101, tuple(headers))
        self._state = after
        self.trailing_data = bytes(self._buffer)
        self._buffer.clear()
        return head + b"\r\n"

    def _end_read_request(self) -> None:
        """End a request whose body was read whole, even if EndOfRequest was not taken yet."""
        reader = self._body_reader
        if reader is not None and reader.done and self.in_request:
            self._move(HttpStep.END_OF_REQUEST)

    def _end_exchange(self, close: bool) -> None:
        """Prepare for the next request after a response."""
        if self._state is HttpState.IDLE:
            if close or (self._peer_ended and not self._buffer):
                self._move(HttpStep.CLOSE)
            elif self._buffer:
                self._move(HttpStep.RECEIVE)
        if self._state is HttpState.CLOSED:
            self._buffer.clear()
        self._forget_request()

    def _refuse(self) -> None:
        self._move(HttpStep.REFUSE)
        self._keep_alive = False
        self._buffer.clear()

    def _after(self, step: HttpStep) -> HttpState:
        after = TRANSITIONS.get((self._state, step))
        if after is None:
            raise StateError(f"{step.value} while {self._state.value}")
        return after

    def _move(self, step: HttpStep) -> None:
        self._state = self._after(step)
