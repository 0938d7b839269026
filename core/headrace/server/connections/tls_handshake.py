"""A TLS connection from its accept to the end of the handshake.

The event loop's own TLS servers call a protocol only after the handshake, so silent peers would
hold descriptors that no limit counts. Here the connection takes its place when it is accepted, and
is upgraded with `loop.start_tls`. The number of handshakes under way is limited.
"""

import asyncio
import ssl
from typing import Final

from headrace.server.connections.connection import Connection
from headrace.server.connections.http_protocol import HttpProtocol
from headrace.server.connections.run_eagerly import continue_in_task
from headrace.server.context import CLOSE_TIMEOUT_S, HANDSHAKES_MAX_COUNT, ServerContext

HANDSHAKE_TIMEOUT_S: Final = 10.0


class TlsHandshake(Connection):
    """Upgrades a connection to TLS; an `HttpProtocol` follows it."""

    __slots__ = ("_received", "_tls", "_was_lost")

    def __init__(self, context: ServerContext, tls: ssl.SSLContext) -> None:
        super().__init__(context)
        self._tls = tls
        self._received = b""  # decrypted, before `_upgrade` continued
        self._was_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake, or abort the connection if too many are under way."""
        super().connection_made(transport)
        context = self._context
        if context.handshakes >= HANDSHAKES_MAX_COUNT:
            self._was_lost = True
            self._transport.abort()
            return
        context.admit(self)
        context.handshakes += 1
        # `start_tls` must begin in this tick: it makes the transport pass the first bytes to TLS.
        work = self._upgrade()
        context.spawn(continue_in_task(work, work.send(None)))

    def data_received(self, data: bytes) -> None:
        """Keep what follows the handshake until `_upgrade` continues in the next tick."""
        self._received += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the loss for `_upgrade`."""
        self._was_lost = True
        super().connection_lost(exc)

    def shut_down(self) -> None:
        """Abort: no request has begun."""
        self.abort()

    async def _upgrade(self) -> None:
        context, plain = self._context, self._transport
        try:
            transport = await context.loop.start_tls(
                plain,
                self,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=CLOSE_TIMEOUT_S,
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError; the peer's fault, not ours
            plain.abort()
            context.remove(self)
            return
        finally:
            context.handshakes -= 1
        # A connection that is lost during the handshake ends `start_tls` without an exception.
        if self._was_lost or transport is None or plain.is_closing():
            context.remove(self)
            return
        http = HttpProtocol(context)
        context.replace(self, http)
        transport.set_protocol(http)
        http.connection_made(transport)
        if self._received and not transport.is_closing():
            http.data_received(self._received)
