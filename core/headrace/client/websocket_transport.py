"""A `headrace.v1` WebSocket connection for the client, made with `websockets`.

Imported on the first connection only: a program that does not listen does not load `websockets`.
"""

import asyncio
import contextlib
import logging
import re
import ssl
from typing import Any, NoReturn

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
)
from websockets.typing import Subprotocol

from headrace import codes
from headrace.client.close_info import CloseInfo
from headrace.client.errors import InvalidTokenError, RequestError
from headrace.client.http_messages import HttpResponse, request_error
from headrace.messages.position import Position

CONNECT_TIMEOUT_S = 10.0
"""The time to resolve the host, to connect, and to complete both handshakes."""

CLOSE_TIMEOUT_S = 5.0
"""The time for the closing handshake; after it the connection is aborted."""

_TOKEN = re.compile(r"[\w.-]+", re.ASCII)

# At DEBUG, websockets logs headers and frames: the log must not contain tokens and message data.
_log = logging.getLogger("headrace.websocket")
_log.setLevel(logging.INFO)


class WebSocketConnection:
    """An open connection; see `open_websocket`.

    It is aborted if it is garbage-collected before `close` or `abort`.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self, timeout_s: float) -> str | CloseInfo:
        """Return the next text frame, or how the connection ended.

        A connection without a frame for `timeout_s` is aborted. Cancelling loses no frame.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    frame = await self._connection.recv()
                    if isinstance(frame, str):
                        return frame
        except TimeoutError:
            self.abort()
            return CloseInfo(codes.ABNORMAL, f"no frame was received for {timeout_s:g} s")
        except ConnectionClosed as error:
            return _close_info(error)

    async def close(self) -> None:
        """Close with 1000, or abort if the server does not answer within `CLOSE_TIMEOUT_S`."""
        await self._connection.close(codes.NORMAL)

    def abort(self) -> None:
        """Close the socket immediately, without a closing handshake."""
        self._connection.transport.abort()

    def __del__(self) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed, and the socket too
            self.abort()


async def open_websocket(
    url: str,
    token: str,
    *,
    last_id: Position | None = None,
    since: Position | None = None,
    tls: ssl.SSLContext | None = None,
) -> WebSocketConnection:
    """Connect to the server with the base URL `url`, and resume after `last_id`.

    Without `last_id`, `since` is the position at which an earlier connection may have started.
    `tls` replaces the default context, which trusts the system's certificate authorities.

    Raise OSError if there is no connection within `CONNECT_TIMEOUT_S`, RequestError if the server
    responds with an error, and InvalidTokenError if a header cannot hold the token.
    """
    if not _TOKEN.fullmatch(token):
        raise InvalidTokenError("the token has a character outside base64url and '.'")
    query = ""
    if last_id is not None:
        query = f"?last_id={last_id}"
    elif since is not None:
        query = f"?since={since}"
    options: dict[str, Any] = {}
    if tls is not None and url.startswith("https:"):
        options["ssl"] = tls
    uri = f"ws{url.removeprefix('http').rstrip('/')}/v1/connect{query}"
    try:
        connection = await _DirectConnect(
            uri,
            # Access logs do not contain subprotocols, but they do contain URLs.
            subprotocols=[Subprotocol("headrace.v1"), Subprotocol(f"headrace.token.{token}")],
            compression=None,
            proxy=None,
            open_timeout=CONNECT_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,  # the server sends the pings
            max_size=None,  # the server's `message_max_bytes` limits it
            logger=_log,
            **options,
        )
    except TimeoutError:
        raise TimeoutError(f"no connection within {CONNECT_TIMEOUT_S:g} s") from None
    except InvalidStatus as error:
        response = error.response
        headers = tuple((name.lower(), value) for name, value in response.headers.raw_items())
        raise request_error(
            HttpResponse(response.status_code, headers, bytes(response.body or b""))
        ) from None
    except InvalidHandshake as error:
        _raise_handshake_error(error)
    websocket = WebSocketConnection(connection)
    if connection.subprotocol != "headrace.v1":
        websocket.abort()
        raise RequestError(426, "the server does not support the subprotocol headrace.v1")
    return websocket


class _DirectConnect(connect):
    """Follows no redirects: they could send the token to another host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _raise_handshake_error(error: InvalidHandshake) -> NoReturn:
    if isinstance(error, InvalidMessage) and isinstance(error.__cause__, EOFError):
        raise ConnectionError("the server closed the connection without a response") from error
    raise ConnectionError(f"the server's handshake violates the protocol: {error}") from error


def _close_info(error: ConnectionClosed) -> CloseInfo:
    received = error.rcvd
    if received is not None and error.rcvd_then_sent is not False:
        return CloseInfo(received.code, received.reason or codes.REASONS.get(received.code, ""))
    if error.sent is not None:  # websockets closes on a protocol error
        return CloseInfo(codes.ABNORMAL, f"the server violated the protocol: {error.sent.reason}")
    reason = str(error.__cause__ or "") or "the server closed the connection without a close frame"
    return CloseInfo(codes.ABNORMAL, reason)
