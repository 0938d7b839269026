"""A connection after its last response.

Closing a socket with unread data resets the connection, which can destroy the response on its way
(RFC 9112 section 9.6). So the server ends its own side first, and discards what still arrives until
the peer has read the response and closes too.
"""

from typing import Final

from headrace.server.connections.connection import Connection
from headrace.server.context import CLOSE_TIMEOUT_S

LINGER_S: Final = 2.0
"""How long a closing connection still reads."""


class LingeringProtocol(Connection):
    """Waits for the peer's end; call `begin` after the hand-over."""

    __slots__ = ()

    def begin(self, *, peer_ended: bool = False, paused: bool = False) -> None:
        """End our side. A `paused` peer, which does not read, gets the write timeout."""
        if self._transport.can_write_eof() and not peer_ended:
            self._transport.write_eof()
            self._transport.resume_reading()
            wait_s = LINGER_S
        else:  # nothing more arrives; or TLS, which has its own closing handshake
            self._transport.close()
            wait_s = CLOSE_TIMEOUT_S
        self._set_timeout(self._context.settings.write_timeout_s if paused else wait_s)

    def data_received(self, data: bytes) -> None:
        """Discard the data."""

    def eof_received(self) -> bool:
        """Let the transport close: the peer reads nothing more."""
        return False

    def resume_writing(self) -> None:
        """Give a peer that reads again the usual time."""
        self._context.memory.release(self)
        self._set_timeout(LINGER_S)

    def on_deadline(self, now: float) -> None:
        """Stop waiting."""
        self._transport.abort()
