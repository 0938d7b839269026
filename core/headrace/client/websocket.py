"""A WebSocket that speaks `headrace.v1`, for a client: wsproto over asyncio's streams."""

import asyncio
import contextlib
import re
import ssl
from collections import deque
from typing import NamedTuple
from urllib.parse import urlsplit

import wsproto
from wsproto import events
from wsproto.utilities import ProtocolError

from headrace import codes, limits
from headrace.client.exchange import refusal
from headrace.errors import InvalidTokenError, RequestError
from headrace.position import Position

CONNECT_TIMEOUT_S = 10.0
"""From the first SYN to the end of the handshake."""

_TOKEN = re.compile(r"[\w.-]+", re.ASCII)


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
                headers = [(name.decode(), value.decode()) for name, value in refused.headers]
                raise refusal(refused.status_code, tuple(headers), body)

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

    def __del__(self) -> None:
        """Let go of the connection when whoever iterated has broken off without closing."""
        if not self._writer.is_closing():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and all with it
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


async def open_websocket(
    url: str,
    token: str,
    *,
    last_id: Position | None = None,
    since: Position | None = None,
    tls: ssl.SSLContext | None = None,
) -> WebSocket:
    """Connect to the server at the base URL `url`, resuming after `last_id`.

    Without one, `since` is where an earlier attempt was to begin that may have been served. With
    `https://`, `tls` says whom to trust where that is not the system's choice. Raises OSError
    where there is no connection within 10 s, RequestError where the server refuses it, and
    InvalidTokenError for a token that no header can carry.
    """
    if not _TOKEN.fullmatch(token):
        raise InvalidTokenError("the token has a character outside base64url and '.'")
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    target = parts.path.rstrip("/") + "/v1/connect"
    if last_id is not None:
        target += f"?last_id={last_id}"
    elif since is not None:
        target += f"?since={since}"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                parts.hostname,
                parts.port or (443 if secure else 80),
                ssl=(tls or ssl.create_default_context()) if secure else None,
            )
            websocket = WebSocket(reader, writer)
            try:
                await websocket.shake_hands(parts.netloc.rpartition("@")[2], target, token)
            except BaseException:  # a cancellation too must not leave the socket open
                writer.transport.abort()
                raise
    except TimeoutError:
        raise TimeoutError(f"no answer within {CONNECT_TIMEOUT_S:.0f} s") from None
    return websocket
