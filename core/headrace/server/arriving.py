"""A connection that has not had its turn yet (see `admission.py`), or that is one too many."""

import asyncio
from typing import TYPE_CHECKING

from headrace import limits
from headrace.errors import RequestError
from headrace.protocol.http import HttpConnection
from headrace.server.connection import Connection
from headrace.server.http import HttpProtocol
from headrace.server.lingering import LingeringProtocol

if TYPE_CHECKING:
    from headrace.server.server import Server


class ArrivingProtocol(Connection):
    """Keeps a connection's first bytes until its turn, when an `HttpProtocol` goes on with them."""

    __slots__ = ("_received",)

    def __init__(self, server: "Server") -> None:
        super().__init__(server)
        self._received: list[bytes] = []  # b"" stands for the end of the peer's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request, or turn away a connection too many."""
        super().connection_made(transport)
        refusal = self._server.refusal()
        if refusal is not None:
            self._turn_away(refusal)
            return
        self._server.connections.add(self)
        self._set_timeout(limits.HEADER_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        """Wait for this connection's turn."""
        self._received.append(data)
        if len(self._received) == 1:
            self._server.admission.submit(self._admit)
        else:  # what has come is a head's worth; the rest may wait on the way
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Close, unless something was asked before: that is answered."""
        if not self._received:
            return False
        self._received.append(b"")
        return self._transport.can_write_eof()  # TLS has no half an end

    def shut_down(self) -> None:
        """Close if nothing was asked; else it is answered, and the answer is the last."""
        if not self._received:
            self._transport.close()

    def on_deadline(self, now: float) -> None:
        """Close: nothing was asked for too long."""
        self._transport.close()

    def _admit(self) -> None:
        transport, received = self._transport, self._received
        if transport.is_closing():
            return
        ended = not received[-1]
        if len(received) > 1 and not ended:
            transport.resume_reading()
        http = HttpProtocol(self._server)
        self.hand_over(http)
        http.data_received(b"".join(received))
        if not ended or transport.is_closing():
            return
        now = transport.get_protocol()  # the data may have brought it to another one
        assert isinstance(now, Connection)
        if not now.eof_received():
            transport.close()

    def _turn_away(self, refusal: RequestError) -> None:
        server = self._server
        answer = server.dispatcher.refuse(None, refusal)
        headers = (server.date, *answer.headers)
        self._transport.write(
            HttpConnection().respond(answer.status, headers, answer.body, close=True)
        )
        lingering = LingeringProtocol(server)
        self._transport.set_protocol(lingering)
        lingering.connection_made(self._transport)
        lingering.begin()
        server.turned_away.add(lingering)
        if len(server.turned_away) > limits.TURNED_AWAY_MAX_COUNT:
            self._transport.abort()  # a close would wait for a goodbye of TLS
