"""A client that listens to a channel over the WebSocket and comes back by itself.

    listener = Listener(url, fetch_token, on_message=…, on_notice=…)
    await listener.run()     # until the channel is closed for good

It resumes after the last id it has seen, so that nothing is lost or given twice across a lost
connection, waits with full jitter before it comes back, and follows the contract's table of close
codes: `codes.FINAL` ends it, a token that timed out is replaced by a new one.
"""

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import wsproto
from wsproto import events
from wsproto.utilities import ProtocolError

from headrace import codes, limits
from headrace.api_client import problem_detail
from headrace.errors import (
    ExpiredTokenError,
    InvalidTokenError,
    RequestError,
    RevokedTokenError,
    TokenError,
)
from headrace.position import START, Position, parse_position

CONNECT_TIMEOUT_S = 10.0
"""From the first SYN to the end of the handshake."""

BACKOFF_MAX_S = 30.0
"""The longest wait before coming back; it starts with at most 1 s and doubles."""

SILENCE_FACTOR = 2.5
"""So many ping intervals without a frame make the line count as dead."""


class Frame(msgspec.Struct, omit_defaults=True):
    """A frame of `headrace.v1`: a message where `type` is None."""

    id: str | None = None
    data: str = ""
    group: str | None = None
    type: str | None = None
    recovered: bool | None = None
    ping_interval: float | None = None
    delay_ms: float = 0


class Closed(NamedTuple):
    """How a connection ended: the close code (1006 without a close frame) and its reason."""

    code: int
    reason: str


class WebSocket:
    """One connection that speaks `headrace.v1`; see `open_websocket`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._events: deque[events.Event] = deque()
        self._parts: list[str] = []

    async def shake_hands(self, host: str, target: str, token: str) -> None:
        """Upgrade the connection; RequestError with the server's status where it refuses."""
        request = events.Request(
            host=host,
            target=target,
            # In a subprotocol, because there it lands in no access log.
            subprotocols=["headrace.v1", f"headrace.token.{token}"],
        )
        self._writer.write(self._protocol.send(request))
        refused: events.RejectConnection | None = None
        body = b""
        while True:
            event = await self._next_event()
            if isinstance(event, events.AcceptConnection):
                if event.subprotocol != "headrace.v1":
                    raise RequestError(426, "the server does not speak headrace.v1")
                return
            if isinstance(event, events.RejectConnection):
                refused = event
            elif isinstance(event, events.RejectData):
                body += event.data
            if refused and (not refused.has_body or getattr(event, "body_finished", False)):
                raise RequestError(
                    refused.status_code,
                    problem_detail(refused.status_code, body),
                    tuple((name.decode(), value.decode()) for name, value in refused.headers),
                )

    async def receive(self) -> str | Closed:
        """Return the next text frame, or how the connection ended."""
        while True:
            try:
                event = await self._next_event()
            except OSError as error:
                return Closed(codes.ABNORMAL, str(error))
            if isinstance(event, events.TextMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    text = "".join(self._parts)
                    self._parts.clear()
                    return text
            elif isinstance(event, events.Ping):
                self._writer.write(self._protocol.send(event.response()))
            elif isinstance(event, events.CloseConnection):
                if self._protocol.state is wsproto.connection.ConnectionState.REMOTE_CLOSING:
                    self._writer.write(self._protocol.send(event.response()))
                return Closed(event.code, event.reason or codes.REASONS.get(event.code, ""))

    async def close(self) -> None:
        """Say goodbye if the server has not, and end the connection without waiting for it."""
        if self._protocol.state is wsproto.connection.ConnectionState.OPEN:
            self._writer.write(self._protocol.send(events.CloseConnection(codes.NORMAL)))
        self._writer.close()
        try:
            async with asyncio.timeout(limits.CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except OSError:  # and TimeoutError, which is one: the connection is gone either way
            self._writer.transport.abort()

    async def _next_event(self) -> events.Event:
        while not self._events:
            received = await self._reader.read(65536)
            if not received:
                raise ConnectionError("the server closed the connection without a word")
            try:
                self._protocol.receive_data(received)
                self._events.extend(self._protocol.events())
            except ProtocolError as error:
                raise ConnectionError(f"the server broke the protocol: {error}") from None
        return self._events.popleft()


async def open_websocket(url: str, token: str, last_id: Position | None) -> WebSocket:
    """Connect to the server at the base URL `url`, resuming after `last_id`.

    Raises OSError where there is no connection within 10 s, and RequestError where the server
    refuses it.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    target = parts.path.rstrip("/") + "/v1/connect"
    if last_id is not None:
        target += f"?last_id={last_id}"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                parts.hostname,
                parts.port or (443 if secure else 80),
                ssl=ssl.create_default_context() if secure else None,
            )
            websocket = WebSocket(reader, writer)
            try:
                await websocket.shake_hands(parts.netloc.rpartition("@")[2], target, token)
            except BaseException:
                writer.transport.abort()
                raise
    except TimeoutError:
        raise TimeoutError(f"no answer within {CONNECT_TIMEOUT_S:.0f} s") from None
    return websocket


class Listener:
    """Listens until the channel is closed for good, across lost connections.

    `url` is the server's base URL. `fetch_token` gives a token, at first and again when one has
    timed out; giving the same again ends the listening. `on_message` gets every message's frame,
    `on_notice` a line of English about the connection. `jitter` gives numbers from 0 to 1, `sleep`
    waits for seconds.
    """

    def __init__(
        self,
        url: str,
        fetch_token: Callable[[], Awaitable[str]],
        *,
        on_message: Callable[[Frame], None],
        on_notice: Callable[[str], None],
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._url = url
        self._fetch_token = fetch_token
        self._on_message = on_message
        self._on_notice = on_notice
        self._jitter = jitter
        self._sleep = sleep
        self._position = START
        self._opened = False  # once: from then on an unreachable server is waited for
        self._failures = 0  # since the last open
        self._delay_s: float | None = None  # where the server said when to come back

    async def run(self) -> None:
        """Listen; return when the channel is closed for good.

        Raises TokenError when the token is refused, RequestError when the connection is, and
        OSError when the server cannot be reached the first time.
        """
        token = await self._fetch_token()
        while True:
            closed = await self._connect_once(token)
            if closed.code == codes.EXPIRED_TOKEN:
                expired = token
                try:
                    token = await self._fetch_token()
                except OSError as error:
                    closed = _lost(error)
                else:
                    if token == expired:
                        raise ExpiredTokenError("the token has timed out: get a new one")
            elif closed.code in _TOKEN_ERRORS:
                raise _TOKEN_ERRORS[closed.code](closed.reason)
            elif closed.code in codes.FINAL:
                self._on_notice(f"closed: {closed.reason}")
                return
            await self._wait(closed)

    async def _wait(self, closed: Closed) -> None:
        ceiling_s = min(BACKOFF_MAX_S, 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        wait_s, self._delay_s = self._delay_s, None
        if wait_s is None:
            wait_s = self._jitter() * ceiling_s
        reason = closed.reason or f"close code {closed.code}"
        self._on_notice(f"connection lost ({reason}); coming back in {wait_s:.1f} s")
        await self._sleep(wait_s)

    async def _connect_once(self, token: str) -> Closed:
        """Connect, hand on all that comes, and say how it ended."""
        try:
            websocket = await open_websocket(
                self._url, token, self._position if self._opened else None
            )
        except OSError as error:
            if not self._opened:
                raise
            return _lost(error)
        except RequestError as error:
            if error.status != 503 and not (self._opened and error.status >= 500):
                raise
            retry_after = dict(error.headers).get("retry-after", "")
            self._delay_s = float(retry_after) if retry_after.isdecimal() else None
            return Closed(codes.ABNORMAL, error.detail)
        silence_s: float | None = CONNECT_TIMEOUT_S
        try:
            while True:
                try:
                    async with asyncio.timeout(silence_s):
                        received = await websocket.receive()
                except TimeoutError:
                    return Closed(codes.ABNORMAL, "the line is dead")
                if isinstance(received, Closed):
                    return received
                try:
                    frame = _decode_frame(received)
                    position = parse_position(frame.id) if frame.id is not None else None
                except (msgspec.DecodeError, RequestError) as error:
                    return Closed(codes.PROTOCOL_ERROR, f"the server sent no frame: {error}")
                if frame.ping_interval:
                    silence_s = frame.ping_interval * SILENCE_FACTOR
                self._take(frame, position)
        finally:
            await websocket.close()

    def _take(self, frame: Frame, position: Position | None) -> None:
        if frame.type is None:
            if position is not None and position > self._position:
                self._position = position
                self._on_message(frame)
        elif frame.type == "open":
            self._opened = True
            self._failures = 0
            # What follows comes after it, also where the server's order has begun anew.
            self._position = position or START
            if frame.recovered is False:
                self._on_notice("some messages may have been missed")
        elif frame.type == "gap":
            self._on_notice("too slow: some messages were dropped")
        elif frame.type == "reconnect":
            self._delay_s = frame.delay_ms / 1000


def _lost(error: OSError) -> Closed:
    return Closed(codes.ABNORMAL, str(error) or type(error).__name__)


_decode_frame = msgspec.json.Decoder(Frame).decode
_TOKEN_ERRORS: dict[int, type[TokenError]] = {
    codes.INVALID_TOKEN: InvalidTokenError,
    codes.REVOKED_TOKEN: RevokedTokenError,
}
