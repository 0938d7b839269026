"""A connection that has had its last answer.

A close with unread data would destroy the answer on its way (RFC 9112 section 9.6). So our side
ends first, and what still comes is thrown away until the peer has read the answer and ends too.
"""

from headrace import limits
from headrace.server.connection import Connection


class LingeringProtocol(Connection):
    """Waits for the peer's end; `begin` follows the hand-over."""

    __slots__ = ()

    def begin(self, *, peer_ended: bool = False, paused: bool = False) -> None:
        """End our side; a `paused` peer has as long as any that reads nothing."""
        if self._transport.can_write_eof() and not peer_ended:
            self._transport.write_eof()
            self._transport.resume_reading()
            wait_s = limits.LINGER_S
        else:  # nothing more comes; or TLS, which has its own goodbye
            self._transport.close()
            wait_s = limits.CLOSE_TIMEOUT_S
        self._set_timeout(self._server.settings.write_timeout_s if paused else wait_s)

    def data_received(self, data: bytes) -> None:
        """Throw it away."""

    def eof_received(self) -> bool:
        """Let the transport close: the peer has read all it will."""
        return False

    def resume_writing(self) -> None:
        """Give a peer that reads again no longer than others."""
        self._set_timeout(limits.LINGER_S)

    def on_deadline(self, now: float) -> None:
        """Wait no longer."""
        self._transport.abort()
