"""What every connection has, whatever it speaks at the moment.

A connection is one transport, and one protocol after the other on it:

    ArrivingProtocol ──its turn──▶ HttpProtocol ──upgrade──▶ WebSocketProtocol, EventStreamProtocol
          │                             │
     one too many                  last answer
          └────▶ LingeringProtocol ◀────┘
"""

import asyncio
from typing import TYPE_CHECKING, cast

from headrace.wheel import UNSET

if TYPE_CHECKING:
    from headrace.server.server import Server


class Connection(asyncio.Protocol):
    """One protocol on one transport, with one deadline on the server's wheel."""

    __slots__ = ("_server", "_transport", "tick")

    _transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        self.tick = UNSET
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._server.forget(self)

    def shut_down(self) -> None:
        """End once what has begun is done: the server goes. Nothing, where an end has begun."""

    def abort(self) -> None:
        """Close without waiting for anything."""
        self._transport.abort()

    def on_deadline(self, now: float) -> None:
        """Do what the time asks for; `now` is monotonic."""
        raise NotImplementedError

    def hand_over(self, successor: "Connection") -> None:
        """Let `successor` go on with the transport, in this one's place among the connections."""
        self._server.connections.add(successor)
        self._server.forget(self)
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)

    def _set_timeout(self, seconds: float) -> None:
        self._server.wheel.set(self, self._server.clocks.monotonic() + seconds)
