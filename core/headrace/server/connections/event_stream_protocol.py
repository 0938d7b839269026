"""Server-Sent Events (WHATWG HTML, section 9.2): the connection of `GET /v1/events`.

The body ends with the connection and is not chunked, so that every client gets the same bytes, and
a proxy that speaks HTTP/1.0 passes them on too.
"""

import asyncio
import socket
import sys
from typing import Final

from headrace.messages.message import ControlMessage, Encoding
from headrace.server.connections.stream_protocol import StreamProtocol
from headrace.server.context import CLOSE_TIMEOUT_S, ServerContext

# Two 32-bit fields of Linux's struct tcp_info: packets in flight, milliseconds since the last ACK.
_UNACKNOWLEDGED: Final = slice(24, 28)
_LAST_ACK_RECEIVED: Final = slice(56, 60)


class EventStreamProtocol(StreamProtocol):
    """One event stream; what the peer sends after its request is ignored."""

    __slots__ = ()

    def __init__(self, context: ServerContext, transport: asyncio.Transport) -> None:
        super().__init__(context, transport, Encoding.SSE)

    def data_received(self, data: bytes) -> None:
        """Ignore a pipelined request: this response does not end."""

    def close(self, code: int, reason: str) -> None:
        """Send a `close` event with the code, since SSE has no close frame, and close."""
        self._session = None  # the caller has detached it
        message = ControlMessage({"type": "close", "code": code, "reason": reason})
        self._transport.write(message.encode(self._encoding))
        self._transport.close()
        self._set_timeout(CLOSE_TIMEOUT_S)

    def _heartbeat(self) -> bool:
        """Ask the kernel whether the peer acknowledges data: an event stream has no pong.

        Since the last heartbeat the peer had a ping or a message to acknowledge. Data that is
        unacknowledged for 1.5 ping intervals means a dead line. A peer that does not read still
        acknowledges window probes, and has no data in flight.
        """
        connection = self._transport.get_extra_info("socket")
        if connection is None or sys.platform != "linux":  # others have another struct, or none
            return True
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
        unacknowledged, silent_ms = (
            int.from_bytes(info[field], "little") for field in (_UNACKNOWLEDGED, _LAST_ACK_RECEIVED)
        )
        return not unacknowledged or silent_ms < 1500 * self._context.settings.ping_interval_s
