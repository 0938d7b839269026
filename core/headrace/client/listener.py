"""The messages of a channel over the WebSocket, across lost connections.

It resumes after the last id it has seen, so that nothing is lost or given twice, waits with full
jitter before it comes back, and follows the contract's table of close codes: `codes.FINAL` ends
it, a token that timed out is replaced by a new one.
"""

import asyncio
import base64
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from headrace import codes
from headrace.client.exchange import RETRIED, retry_after_s
from headrace.client.values import Message
from headrace.client.websocket import CONNECT_TIMEOUT_S, Closed, WebSocket, open_websocket
from headrace.errors import (
    ExpiredTokenError,
    InvalidTokenError,
    RequestError,
    RevokedTokenError,
    TokenError,
)
from headrace.position import START, Position, parse_position

BACKOFF_MAX_S = 30.0
"""The longest wait before coming back; it starts with at most 1 s and doubles."""

SILENCE_FACTOR = 2.5
"""So many ping intervals without a frame make the line count as dead."""


class IncidentKind(StrEnum):
    """What can befall a listener."""

    LOST = "lost"
    """The connection; it comes back."""
    GAP = "gap"
    """Messages, between the last one and the next."""
    CLOSED = "closed"
    """The channel, for good; the iteration ends."""


class Incident(NamedTuple):
    """Something that befell a listener, and a line of English about it."""

    kind: IncidentKind
    text: str


def _ignore(_incident: Incident) -> None:
    pass


class Listener:
    """Iterates over the messages to a client until its channel is closed for good.

        async with client.listen("alice") as messages:
            async for message in messages:
                print(message.data)

    Messages are taken from the connection as they are asked for; who is slow for long is sent
    away by the server, comes back and resumes. Waiting for a message may be cancelled at any time
    without losing one. The iteration raises TokenError when the token is refused, RequestError
    when the connection is, and OSError when the server cannot be reached the first time; later it
    is waited for.
    """

    def __init__(
        self,
        url: str,
        fetch_token: Callable[[], Awaitable[str]],
        *,
        on_incident: Callable[[Incident], object] = _ignore,
        tls: ssl.SSLContext | None = None,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`url` is the server's base URL; `tls` says whom to trust, if not whom the system does.

        `fetch_token` gives a token, at first and again when one has timed out; giving the same
        again ends the listening. `on_incident` is told between two messages what happened between
        them. `jitter` gives numbers from 0 to 1, `sleep` waits for seconds.
        """
        self._url = url
        self._fetch_token = fetch_token
        self._on_incident = on_incident
        self._tls = tls
        self._jitter = jitter
        self._sleep = sleep
        self._token: str | None = None
        self._websocket: WebSocket | None = None
        self._silence_s = CONNECT_TIMEOUT_S  # after which the line counts as dead
        self._position = START
        self._since: Position | None = None  # where a session began that was lost unseen, maybe
        self._opened = False  # once: from then on an unreachable server is waited for
        self._ended = False
        self._failures = 0  # since the last open
        self._delay_s: float | None = None  # where the server said when to come back

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while not self._ended:
            received = await self._receive()
            taken = self._take(received) if isinstance(received, str) else received
            if isinstance(taken, Closed):
                await self._come_back(taken)
            elif taken is not None:
                return taken
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
        """End the connection and the iteration; a second call does nothing."""
        self._ended = True
        await self._hang_up()

    async def _hang_up(self) -> None:
        websocket, self._websocket = self._websocket, None
        if websocket is not None:
            await websocket.close()

    async def _receive(self) -> str | Closed:
        """Return the next frame, or how the connection ended; it is made where there is none."""
        if self._websocket is None:
            failure = await self._connect()
            if failure is not None:
                return failure
        assert self._websocket is not None
        try:
            async with asyncio.timeout(self._silence_s):
                return await self._websocket.receive()
        except TimeoutError:
            return Closed(codes.ABNORMAL, "the line is dead")

    async def _connect(self) -> Closed | None:
        """Connect; return why that failed, where it may do later."""
        if self._token is None:
            self._token = await self._fetch_token()
        last_id = self._position if self._opened else None
        try:
            self._websocket = await open_websocket(
                self._url, self._token, last_id=last_id, since=self._since, tls=self._tls
            )
        except OSError as error:
            self._note_unclear()
            if not self._opened:
                raise
            return _lost(error)
        except RequestError as error:
            if error.status != 503 and not (self._opened and error.status >= 500):
                raise
            self._delay_s = retry_after_s(error.headers, time.time())
            return Closed(codes.ABNORMAL, error.detail)
        except asyncio.CancelledError:
            self._note_unclear()
            raise
        self._silence_s = CONNECT_TIMEOUT_S
        return None

    async def _come_back(self, closed: Closed) -> None:
        """Get ready for the next connection, or end."""
        if self._websocket is not None and closed.code == codes.ABNORMAL:
            self._note_unclear()
        await self._hang_up()
        if closed.code == codes.EXPIRED_TOKEN:
            try:
                token = await self._fetch_token()
            except OSError as error:
                closed = _lost(error)
            except RequestError as error:
                if error.status not in RETRIED:
                    raise
                closed = Closed(codes.ABNORMAL, error.detail)
            else:
                if token == self._token:
                    raise ExpiredTokenError("the token has timed out: get a new one")
                self._token = token
        elif closed.code in _TOKEN_ERRORS:
            raise _TOKEN_ERRORS[closed.code](closed.reason)
        elif closed.code in codes.FINAL:
            self._ended = True
            self._tell(IncidentKind.CLOSED, f"closed: {closed.reason}")
            return
        ceiling_s = min(BACKOFF_MAX_S, 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        wait_s, self._delay_s = self._delay_s, None
        if wait_s is None:
            wait_s = self._jitter() * ceiling_s
        reason = closed.reason or f"close code {closed.code}"
        self._tell(IncidentKind.LOST, f"connection lost ({reason}); coming back in {wait_s:.1f} s")
        await self._sleep(wait_s)

    def _note_unclear(self) -> None:
        """Remember where a session was to begin that may have been served without our knowing."""
        if self._since is None and self._token is not None:
            self._since = _origin_of(self._token)

    def _take(self, text: str) -> Message | Closed | None:
        """Return the message that a frame is, None where it is about the connection."""
        try:
            frame = _decode_frame(text)
            position = START if frame.id is None else parse_position(frame.id)
        except (msgspec.DecodeError, RequestError) as error:
            return Closed(codes.PROTOCOL_ERROR, f"the server sent no frame: {error}")
        if frame.ping_interval:
            self._silence_s = frame.ping_interval * SILENCE_FACTOR
        if frame.type is None:
            if frame.id is not None and position > self._position:
                self._position = position
                return Message(frame.id, frame.data, frame.group)
        elif frame.type == "open":
            self._opened = True
            self._failures = 0
            # What follows comes after it, also where the server's order has begun anew.
            self._position = position
            if frame.recovered is False:
                self._tell(IncidentKind.GAP, "some messages may have been missed")
        elif frame.type == "gap":
            self._tell(IncidentKind.GAP, "too slow: some messages were dropped")
        elif frame.type == "reconnect":
            self._delay_s = frame.delay_ms / 1000
        return None

    def _tell(self, kind: IncidentKind, text: str) -> None:
        self._on_incident(Incident(kind, text))


class _Frame(msgspec.Struct):
    """A frame of `headrace.v1`: a message where `type` is None."""

    id: str | None = None
    data: str = ""
    group: str | None = None
    type: str | None = None
    recovered: bool | None = None
    ping_interval: float | None = None
    delay_ms: float = 0


def _origin_of(token: str) -> Position | None:
    """Return where a first connection with `token` starts, by its `pos`; the server judges it."""
    try:
        payload = token.split(".")[1]
        pos = _decode_claims(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).pos
        return None if pos is None else parse_position(pos)
    except (IndexError, ValueError, RequestError):
        return None


def _lost(error: OSError) -> Closed:
    return Closed(codes.ABNORMAL, str(error) or type(error).__name__)


class _Claims(msgspec.Struct):
    pos: str | None = None


_decode_claims = msgspec.json.Decoder(_Claims).decode
_decode_frame = msgspec.json.Decoder(_Frame).decode
_TOKEN_ERRORS: dict[int, type[TokenError]] = {
    codes.INVALID_TOKEN: InvalidTokenError,
    codes.REVOKED_TOKEN: RevokedTokenError,
}
