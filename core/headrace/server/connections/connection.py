"""The base class of all connection protocols: a transport, and one deadline."""

import asyncio
from typing import cast

from headrace.server.context import ServerContext
from headrace.server.timers import UNSET


class Connection(asyncio.Protocol):
    """One protocol on one transport, with one deadline on the server's timer wheel."""

    __slots__ = ("_context", "_transport", "tick")

    _transport: asyncio.Transport

    def __init__(self, context: ServerContext) -> None:
        self.tick = UNSET
        self._context = context

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the server's."""
        self._context.remove(self)

    def shut_down(self) -> None:
        """Close when the current work is done. Does nothing if the connection is closing."""

    def give_way(self) -> None:
        """Close, because another connection needs this one's reserved place."""
        self.abort()

    def abort(self) -> None:
        """Close without waiting for anything."""
        self._transport.abort()

    def on_deadline(self, now: float) -> None:
        """Handle the deadline; `now` is monotonic time."""
        raise NotImplementedError

    def hand_over(self, successor: "Connection") -> None:
        """Let `successor` continue with the transport, in this one's place."""
        self._context.replace(self, successor)
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)

    def _peer_address(self) -> str:
        """Return the peer's address without its port, or "" if it has none."""
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) and peer else ""

    def _set_timeout(self, seconds: float) -> None:
        self._context.timers.set(self, self._context.clocks.monotonic() + seconds)
