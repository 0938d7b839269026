"""Receive the messages of a channel over a WebSocket, across lost connections.

The listener resumes after the last id it has seen, so no message is lost or returned twice. It
reconnects with exponential backoff and full jitter, except after the close codes in `codes.FINAL`,
which end it. An expired token (4002) is replaced by a new one.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from enum import Enum, StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from headrace import codes
from headrace.auth.tokens import decode_unverified
from headrace.client.close_info import CloseInfo
from headrace.client.errors import (
    ExpiredTokenError,
    InputError,
    InvalidTokenError,
    RequestError,
    RevokedTokenError,
    TokenError,
)
from headrace.client.models import Message
from headrace.client.retry import RETRIED_STATUSES
from headrace.client.retry_after import retry_after_s
from headrace.client.server_frame import decode_frame
from headrace.messages.position import START, Position, parse_position

if TYPE_CHECKING:
    from headrace.client.websocket_transport import WebSocketConnection

BACKOFF_MAX_S = 30.0
"""The maximum wait before a reconnect; it starts at 1 s and doubles with each failure."""

PING_INTERVALS_UNTIL_DEAD = 2.5
"""A connection without a frame for so many of the server's ping intervals counts as lost."""

OPEN_FRAME_TIMEOUT_S = 10.0
"""The same limit until the `open` frame, which holds the ping interval."""


class ListenerEventKind(StrEnum):
    """The kinds of `ListenerEvent`."""

    LOST = "lost"
    """The connection was lost; the listener reconnects."""
    GAP = "gap"
    """Messages between the previous message and the next one may be lost."""
    CLOSED = "closed"
    """The server closed the channel; the iteration ends."""


class ListenerEvent(NamedTuple):
    """A change of the connection's state, with a line of text for a log."""

    kind: ListenerEventKind
    text: str


class _State(Enum):
    NEW = "no open frame was received yet"
    OPENED = "an open frame was received, on this connection or an earlier one"
    CLOSED = "the iteration is over"


def _ignore(_event: ListenerEvent) -> None:
    pass


class Listener:
    """Iterates over the messages to a client until its channel is closed.

        async with client.listen("alice") as messages:
            async for message in messages:
                print(message.data)

    Messages are read from the connection only as fast as the iteration requests them. If it is too
    slow for the server's limits, the server closes the connection, and the listener reconnects and
    resumes. Waiting for a message can be cancelled at any time without losing one.

    The iteration raises TokenError if the token is not accepted, RequestError if the server
    responds to a connection attempt with an error, and OSError if the first connection fails.
    Later network failures are retried without a limit.
    """

    def __init__(
        self,
        url: str,
        fetch_token: Callable[[], Awaitable[str]],
        *,
        on_event: Callable[[ListenerEvent], object] = _ignore,
        tls: ssl.SSLContext | None = None,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Listen on the server with the base URL `url`; `tls` replaces the default TLS context.

        `fetch_token` returns a token, at the start and after each expiry; if it returns the
        expired token again, the iteration raises ExpiredTokenError. `on_event` is called between
        two messages with what happened between them. `jitter` returns numbers from 0 to 1, and
        `sleep` waits for a number of seconds.
        """
        self._url = url
        self._fetch_token = fetch_token
        self._on_event = on_event
        self._tls = tls
        self._jitter = jitter
        self._sleep = sleep
        self._state = _State.NEW
        self._token: str | None = None
        self._websocket: WebSocketConnection | None = None
        self._timeout_s = OPEN_FRAME_TIMEOUT_S
        self._position = START
        # The token's `pos`, if a session may have started there whose open frame was lost.
        self._since: Position | None = None
        self._failures = 0  # since the last open frame
        self._delay_s: float | None = None  # the wait that the server asked for

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while not self._is_closed:
            received = await self._receive()
            result = self._handle_frame(received) if isinstance(received, str) else received
            if isinstance(result, Message):
                return result
            if isinstance(result, CloseInfo) and not self._is_closed:
                await self._handle_disconnect(result)
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection and end the iteration; a second call does nothing."""
        self._state = _State.CLOSED
        await self._close_websocket()

    @property
    def _is_closed(self) -> bool:
        return self._state is _State.CLOSED

    async def _close_websocket(self) -> None:
        websocket, self._websocket = self._websocket, None
        if websocket is not None:
            await websocket.close()

    async def _receive(self) -> str | CloseInfo:
        """Return the next frame, or why there is none; connect first if necessary."""
        if self._websocket is None:
            failure = await self._connect()
            if failure is not None:
                return failure
        assert self._websocket is not None
        return await self._websocket.receive(self._timeout_s)

    async def _connect(self) -> CloseInfo | None:
        """Connect; return the reason of a failure that may be temporary."""
        from headrace.client.websocket_transport import open_websocket

        if self._token is None:
            self._token = await self._fetch_token()
        last_id = self._position if self._state is _State.OPENED else None
        try:
            websocket = await open_websocket(
                self._url, self._token, last_id=last_id, since=self._since, tls=self._tls
            )
        except OSError as error:
            self._remember_start()
            if self._state is _State.NEW:
                raise
            return _lost(error)
        except RequestError as error:
            is_new = self._state is _State.NEW
            if error.status != 503 and (is_new or error.status < 500):
                raise
            self._delay_s = retry_after_s(error.headers, time.time())
            return CloseInfo(codes.ABNORMAL, error.detail)
        except asyncio.CancelledError:
            self._remember_start()
            raise
        self._websocket = websocket
        self._timeout_s = OPEN_FRAME_TIMEOUT_S
        if self._is_closed:  # by `close` in another task
            await self._close_websocket()
            return CloseInfo(codes.NORMAL, "")
        return None

    async def _handle_disconnect(self, close: CloseInfo) -> None:
        """Wait until it is time to reconnect, or end the iteration."""
        if self._websocket is not None and close.code == codes.ABNORMAL:
            self._remember_start()
        await self._close_websocket()
        if close.code == codes.EXPIRED_TOKEN:
            close = await self._renew_token() or close
        elif close.code in _TOKEN_ERRORS:
            raise _TOKEN_ERRORS[close.code](close.reason)
        elif close.code in codes.FINAL:
            self._state = _State.CLOSED
            self._notify(ListenerEventKind.CLOSED, f"closed: {close.reason}")
            return
        backoff_s = min(BACKOFF_MAX_S, 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        wait_s, self._delay_s = self._delay_s, None
        if wait_s is None:
            wait_s = self._jitter() * backoff_s
        reason = close.reason or f"close code {close.code}"
        self._notify(
            ListenerEventKind.LOST, f"connection lost ({reason}); reconnecting in {wait_s:.1f} s"
        )
        await self._sleep(wait_s)

    async def _renew_token(self) -> CloseInfo | None:
        """Fetch a token in place of the expired one; return the reason of a temporary failure."""
        try:
            token = await self._fetch_token()
        except OSError as error:
            return _lost(error)
        except RequestError as error:
            if error.status not in RETRIED_STATUSES:
                raise
            return CloseInfo(codes.ABNORMAL, error.detail)
        if token == self._token:
            raise ExpiredTokenError("the token expired; listen with a new one")
        self._token = token
        return None

    def _remember_start(self) -> None:
        """Remember where a session may have started whose `open` frame was not received.

        The server starts a client's next session where the lost one left off. Messages that it
        wrote to the lost connection would be skipped.
        """
        if self._since is None and self._token is not None:
            self._since = _start_position(self._token)

    def _handle_frame(self, text: str) -> Message | CloseInfo | None:
        """Return the message, None for another frame, or the reason to reconnect."""
        try:
            frame = decode_frame(text)
            position = START if frame.id is None else parse_position(frame.id)
        except (msgspec.DecodeError, InputError, RecursionError) as error:
            return CloseInfo(codes.PROTOCOL_ERROR, f"the server sent a malformed frame: {error}")
        if frame.ping_interval:
            self._timeout_s = frame.ping_interval * PING_INTERVALS_UNTIL_DEAD
        if frame.type is None:
            if frame.id is not None and position > self._position:
                self._position = position
                return Message(frame.id, frame.data, frame.group)
        elif frame.type == "open":
            if self._state is _State.NEW:
                self._state = _State.OPENED
            self._failures = 0
            # It may be lower than the last one: a server without its history starts anew.
            self._position = position
            if frame.recovered is False:
                self._notify(ListenerEventKind.GAP, "some messages may be lost")
        elif frame.type == "gap":
            self._notify(ListenerEventKind.GAP, "too slow: some messages were dropped")
        elif frame.type == "reconnect":
            self._delay_s = frame.delay_ms / 1000
        return None

    def _notify(self, kind: ListenerEventKind, text: str) -> None:
        self._on_event(ListenerEvent(kind, text))


def _start_position(token: str) -> Position | None:
    """Return the token's `pos`, where a client's first session starts."""
    claims = decode_unverified(token)
    if claims is None or claims.pos is None:
        return None
    try:
        return parse_position(claims.pos)
    except InputError:
        return None


def _lost(error: OSError) -> CloseInfo:
    return CloseInfo(codes.ABNORMAL, str(error) or type(error).__name__)


_TOKEN_ERRORS: dict[int, type[TokenError]] = {
    codes.INVALID_TOKEN: InvalidTokenError,
    codes.REVOKED_TOKEN: RevokedTokenError,
}
