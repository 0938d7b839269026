"""One server-side HTTP/1.1 connection without its socket (RFC 9112).

    connection = HttpConnection()
    connection.receive_data(data)                 # bytes in; b"" when the peer ends its side
    while event := connection.next_event():       # events out: Request, Body…, EndOfRequest
        ...
        write(connection.respond(200, [], b"…"))  # bytes to send
    if connection.should_close: ...               # after what was returned is written

`respond` may come at any time after a Request; before the request is whole, its rest is not read
and the answer closes. Bytes behind a request wait until its answer is complete, so one request is
in work at a time, and `next_event` gives the pipelined next one after that.

What the states mean and how they follow each other stands in `state.py`. Call
`next_event` until it gives None after each `receive_data`, or stop reading from the peer: bytes of
a body that nobody takes are kept.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from headrace import limits
from headrace.errors import RequestError, StateError
from headrace.protocol.answer import CONTINUE, LAST_CHUNK, encode_chunk, encode_head
from headrace.protocol.body import BodyReader, ChunkedBody, FixedBody, check_length
from headrace.protocol.head import HeadReader
from headrace.protocol.request import Body, EndOfRequest, Event, Request
from headrace.protocol.state import NEXT, State, Step

__all__ = ["Body", "EndOfRequest", "Event", "HttpConnection", "Request", "State"]


_BODYLESS: Final = frozenset({204, 304})
"""Statuses whose answers have no body (RFC 9110 sections 15.3.5 and 15.4.5)."""


class _Framing(Enum):
    """How the end of an answer's body is told (RFC 9112 section 6.3)."""

    NONE = "it has no body"
    CHUNKED = "by a last chunk"
    CLOSE = "by closing"


class HttpConnection:
    """Turns one peer's bytes into requests, and answers into bytes.

    `body_max_bytes` limits each request's body; over it 413, None is no limit. Set it after a
    Request, and before the next call, to change it for that request alone.
    """

    __slots__ = (
        "_awaits_continue",
        "_body",
        "_body_max_bytes",
        "_buffer",
        "_framing",
        "_head",
        "_http_1_0",
        "_is_head",
        "_keep_alive",
        "_peer_ended",
        "_state",
        "body_max_bytes",
        "trailing_data",
    )

    def __init__(self, *, body_max_bytes: int | None = limits.BODY_MAX_BYTES) -> None:
        self._body_max_bytes = body_max_bytes
        self._buffer = bytearray()
        self._peer_ended = False
        self._state = State.IDLE
        self.trailing_data = b""
        """After `upgrade`: what came behind the request, in the new protocol."""
        self._begin()

    def _begin(self) -> None:
        """Forget the request before."""
        self._awaits_continue = False
        self._body: BodyReader | None = None
        self._framing = _Framing.NONE
        self._head: HeadReader | None = None
        self._http_1_0 = False
        self._is_head = False
        self._keep_alive = True
        self.body_max_bytes = self._body_max_bytes

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._state

    @property
    def in_request(self) -> bool:
        """Whether the rest of a head or of a body is still to come."""
        return self._state in (State.HEAD, State.BODY, State.EARLY)

    @property
    def peer_ended(self) -> bool:
        """Whether the peer has ended its side; what it asked before is still answered."""
        return self._peer_ended

    @property
    def should_close(self) -> bool:
        """Whether the connection is to be closed once what was returned is written."""
        return self._state is State.CLOSED

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer; b"" says that it has ended its side.

        Raises StateError after `upgrade`, and for bytes behind the end.
        """
        state = self._state
        if not data:
            self._peer_ended = True
            if state is State.IDLE:
                self._move(Step.CLOSE)
        elif state is State.UPGRADED or self._peer_ended:
            raise StateError("bytes after the upgrade, or after the peer's end, are not HTTP")
        elif state is State.REFUSED or state is State.CLOSED:
            # RFC 9112 section 9.6: read on, so that the peer gets the answer, but for nothing.
            pass
        else:
            self._buffer += data
            if state is State.IDLE:
                self._move(Step.RECEIVE)
            elif len(self._buffer) > limits.PIPELINE_MAX_BYTES and not self.in_request:
                # RFC 9112 section 9.3.2: a client must be ready to send them again.
                self._buffer.clear()
                self._keep_alive = False

    def next_event(self) -> Event | None:
        """Return the next event, or None until there are more bytes or the answer is complete.

        Raises RequestError for a malformed request, which then gets one `respond` and a close;
        what it may be is listed at `HeadReader.read` and `ChunkedBody.read`, and 400 for a body
        that the peer does not end.
        """
        state = self._state
        if state is State.HEAD:
            return self._next_head()
        if state is State.BODY or state is State.EARLY:
            return self._next_body()
        return None

    def _next_head(self) -> Request | None:
        if self._head is None:
            self._head = HeadReader()
        try:
            request = self._head.read(self._buffer)
        except RequestError:
            self._refuse()
            raise
        if request is None:
            if self._peer_ended:
                self._move(Step.CLOSE)
            elif not self._buffer:
                self._move(Step.SKIP)
            return None
        self._head = None
        self._is_head = request.method == "HEAD"
        self._http_1_0 = request.http_version == "1.0"
        known = dict(request.headers)
        if "connection" in known or self._http_1_0:
            options = [option.lower() for option in request.header_list("connection")]
            # RFC 9112 section 9.3.
            self._keep_alive = "close" not in options and (
                not self._http_1_0 or "keep-alive" in options
            )
        if "transfer-encoding" in known:
            self._body = ChunkedBody()
        elif "content-length" in known:
            self._body = FixedBody(int(known["content-length"]))
        self._awaits_continue = "expect" in known and not self._http_1_0
        self._move(Step.REQUEST)
        return request

    def _next_body(self) -> Body | EndOfRequest | None:
        body = self._body
        if body is not None and not body.done:
            try:
                data = body.read(self._buffer, self.body_max_bytes)
            except RequestError:
                self._refuse()
                raise
            if data:
                self._awaits_continue = False
                return Body(data)
            if not self._body_is_read():
                if not self._peer_ended:
                    return None
                self._refuse()
                raise RequestError(400, "The connection ended before the request's body did.")
        self._move(Step.END)
        return EndOfRequest()

    def send_continue(self) -> bytes:
        """Return the 100 (Continue) if the peer waits for one before it sends its body, else b"".

        Raises RequestError 413 when the announced body is too long to be asked for.
        """
        if self._state is not State.BODY or not self._awaits_continue:
            return b""
        self._awaits_continue = False
        body = self._body
        if body is None or body.done or self._buffer:
            # RFC 9110 section 10.1.1: it may be left out when the body is there already.
            return b""
        try:
            check_length(body.length, self.body_max_bytes)
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
        """Return a whole answer; `close` makes it the connection's last.

        `status` is 200 or more. `headers` are without content-length. A HEAD request's answer
        tells the body's length and leaves it out (RFC 9110 section 9.3.2); 204 and 304 have none.
        Without a request, or with half of one, it is an answer to the connection itself (408,
        503) and closes. Raises StateError when an answer has begun or was given, and ValueError
        for headers that cannot be sent.
        """
        self._settle()
        after = self._after(Step.RESPOND)
        close = close or not self._keep_alive or after is State.CLOSED
        ours = self._connection_header(close)
        bodyless = status in _BODYLESS
        if not bodyless:
            ours.append(("content-length", str(len(body))))
        answer = encode_head(status, headers, ours)
        if not bodyless and not self._is_head:
            answer += body
        self._state = after
        self._complete(close)
        return answer

    def start_response(
        self, status: int, headers: Sequence[tuple[str, str]] = (), *, until_close: bool = False
    ) -> bytes:
        """Return the head of an answer whose body follows in pieces; raises as `respond`.

        The body is chunked, or ends with the connection if asked to (`until_close`, so that its
        pieces are the same bytes for every client) or for an HTTP/1.0 client.
        """
        self._settle()
        after = self._after(Step.START)
        framing = _Framing.CHUNKED
        if self._is_head or status in _BODYLESS:
            framing = _Framing.NONE
        elif self._http_1_0 or until_close:
            framing = _Framing.CLOSE
        close = not self._keep_alive or framing is _Framing.CLOSE
        ours = self._connection_header(close)
        if framing is _Framing.CHUNKED:
            ours.append(("transfer-encoding", "chunked"))
        head = encode_head(status, headers, ours)
        self._state = after
        self._framing = framing
        self._keep_alive = not close
        return head

    def send_body(self, data: bytes) -> bytes:
        """Return a piece of the started answer's body, ready to send; b"" if it has none."""
        self._move(Step.SEND)
        if self._framing is _Framing.CHUNKED:
            return encode_chunk(data)
        return data if self._framing is _Framing.CLOSE else b""

    def end_response(self) -> bytes:
        """Return the end of the started answer's body."""
        self._settle()
        self._move(Step.FINISH)
        end = LAST_CHUNK if self._framing is _Framing.CHUNKED else b""
        self._complete(not self._keep_alive)
        return end

    def upgrade(self, headers: Sequence[tuple[str, str]]) -> bytes:
        """Return the 101 (Switching Protocols); what came behind it is in `trailing_data`.

        Raises StateError unless the request is whole.
        """
        self._settle()
        after = self._after(Step.UPGRADE)
        head = encode_head(101, headers)
        self._state = after
        self.trailing_data = bytes(self._buffer)
        self._buffer.clear()
        return head

    def _connection_header(self, close: bool) -> list[tuple[str, str]]:
        if close:
            return [("connection", "close")]
        return [("connection", "keep-alive")] if self._http_1_0 else []

    def _body_is_read(self) -> bool:
        return self._body is None or self._body.done

    def _settle(self) -> None:
        """Let a request end that has no more bytes to come, whether or not its end was taken."""
        if self._state in (State.BODY, State.EARLY) and self._body_is_read():
            self._move(Step.END)

    def _complete(self, close: bool) -> None:
        """Go on to the next request after an answer."""
        if self._state is State.IDLE:
            if close or (self._peer_ended and not self._buffer):
                self._move(Step.CLOSE)
            elif self._buffer:
                self._move(Step.RECEIVE)
        if self._state is State.CLOSED:
            self._buffer.clear()
        self._begin()

    def _refuse(self) -> None:
        self._move(Step.REFUSE)
        self._keep_alive = False
        self._buffer.clear()

    def _after(self, step: Step) -> State:
        try:
            return NEXT[self._state, step]
        except KeyError:
            raise StateError(f"{step.value} while {self._state.value}") from None

    def _move(self, step: Step) -> None:
        self._state = self._after(step)
