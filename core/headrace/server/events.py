"""Server-Sent Events on the event loop (WHATWG HTML, section 9.2): `GET /v1/events`.

The body ends with the connection and is not chunked, so that every client gets the same bytes and
a proxy that speaks HTTP/1.0 to us passes them on as well.
"""

import asyncio
import random
import socket
from typing import TYPE_CHECKING

from headrace.api.answers import Headers
from headrace.message import Form, Notice
from headrace.server.stream import StreamProtocol

if TYPE_CHECKING:
    from headrace.server.server import Server

HEADERS: Headers = (
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),  # nginx then passes each event on at once
)

_RETRY_MIN_MS, _RETRY_MAX_MS = 1000, 5000
_UNACKNOWLEDGED = slice(24, 28)  # of Linux's struct tcp_info, 32 bits: packets under way
_LAST_ACK_RECEIVED = slice(56, 60)  # milliseconds


def retry_line() -> bytes:
    """Return the wait before a browser reconnects, with jitter against a thundering herd."""
    return b"retry: %d\n\n" % random.randint(_RETRY_MIN_MS, _RETRY_MAX_MS)  # noqa: S311 - jitter


class EventStreamProtocol(StreamProtocol):
    """One event stream; the peer has nothing more to say."""

    __slots__ = ()

    def __init__(self, server: "Server", transport: asyncio.Transport) -> None:
        super().__init__(server, transport, Form.SSE)

    def data_received(self, data: bytes) -> None:
        """Ignore what a peer sends behind its request: there is no second answer."""

    def close(self, code: int, reason: str) -> None:
        """Say why, since the protocol has no close code, and end the stream."""
        self._session = None  # whoever closes has detached it
        notice = Notice({"type": "close", "code": code, "reason": reason})
        self._transport.write(notice.encoded(self._form))
        self._transport.close()
        self._set_closing_deadline()

    def _beat(self) -> bool:
        """Ask the kernel whether the peer still acknowledges: an event stream has no pong.

        Since the last beat it had a ping or a message to acknowledge. What lies unacknowledged for
        half as long again means a dead line. A peer that is there but reads nothing acknowledges
        too; only ever more rarely, as its closed window is probed, and then nothing is under way.
        """
        connection = self._transport.get_extra_info("socket")
        if connection is None or not hasattr(socket, "TCP_INFO"):
            return True
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
        unacknowledged, silent_ms = (
            int.from_bytes(info[field], "little") for field in (_UNACKNOWLEDGED, _LAST_ACK_RECEIVED)
        )
        return not unacknowledged or silent_ms < 1500 * self._server.settings.ping_interval_s
