"""The base class of long-lived connections: each is the `Sink` of one session.

It writes what the session delivers in the connection's encoding, pauses and resumes the session
with the transport, and has one deadline: the earliest of the next heartbeat, the token's expiry and
the write timeout. The subclasses add what goes over the wire besides messages.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from headrace import codes
from headrace.auth.tokens import Claims
from headrace.hub.session import Session, SessionState
from headrace.messages.message import ControlMessage, Encodable, Encoding
from headrace.messages.position import Position
from headrace.server.connections.connection import Connection
from headrace.server.context import CLOSE_TIMEOUT_S, ServerContext

WRITE_HIGH_WATER_BYTES: Final = 64 * 1024
"""Above it the transport pauses the session, whose backlog then stays in the ring."""

_PING: Final = ControlMessage({"type": "ping"})


class StreamProtocol(Connection):
    """A connection that delivers one session's messages until either side closes it."""

    __slots__ = ("_encoding", "_heartbeat_at", "_last_write", "_paused_at", "_session")

    def __init__(
        self, context: ServerContext, transport: asyncio.Transport, encoding: Encoding
    ) -> None:
        super().__init__(context)
        self._transport = transport
        self._encoding = encoding
        self._session: Session | None = None
        self._last_write = self._heartbeat_at = context.clocks.monotonic()
        self._paused_at: float | None = None  # while the transport's buffer is full

    def open(self, claims: Claims, last_id: Position | None, since: Position | None = None) -> None:
        """Attach a session to the hub, which writes the `open` control message first."""
        self._transport.set_write_buffer_limits(WRITE_HIGH_WATER_BYTES)
        now = self._context.clocks.monotonic()
        self._heartbeat_at = now + self._context.settings.ping_interval_s
        # The response head may have filled the transport, which then paused the HttpProtocol.
        if self._transport.get_write_buffer_size() > WRITE_HIGH_WATER_BYTES:
            self._paused_at = now
        self._session = session = self._context.core.attach(claims, self, last_id, since)
        if self._paused_at is not None:  # paused before there was a session, or by `open` itself
            session.pause()
        self._set_deadline(now)

    # --- to be implemented by subclasses -------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Close the connection in the way of its protocol (`Sink.close`)."""
        raise NotImplementedError

    def _heartbeat(self) -> bool:
        """Check the peer once per ping interval; return False if it is gone."""
        raise NotImplementedError

    def _peer_active(self) -> None:
        """Note a sign of life: the peer has read what was written."""

    # --- the session's sink --------------------------------------------------------------------

    def deliver(self, what: Encodable, now: float) -> None:
        """Write a message, a batch or a control message in this connection's encoding."""
        data = what.encode(self._encoding)
        if data:  # a bare client gets no control messages
            self._transport.write(data)
            self._last_write = now

    # --- the transport's callbacks -------------------------------------------------------------

    def eof_received(self) -> bool:
        """Close: the peer would not answer anything.

        The transport closes once its buffer is written; the session ends now.
        """
        self._set_timeout(CLOSE_TIMEOUT_S)
        self._disconnect(self._detach)
        return False

    def pause_writing(self) -> None:
        """Pause the session: its messages stay in the ring until the peer has read more."""
        self._paused_at = now = self._context.clocks.monotonic()
        if self._session is not None:
            self._session.pause()
            self._set_deadline(now)

    def resume_writing(self) -> None:
        """Continue with the messages in the ring."""
        self._paused_at = None
        self._peer_active()
        if self._session is not None:
            self._context.core.resume(self._session)

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the connection's place and memory now, and leave the rest to the cleanup queue.

        Thousands of connections may be lost in the same tick.
        """
        if self._disconnect(self._remove):
            self._context.connections.discard(self)
            self._context.memory.release(self)
        else:
            super().connection_lost(exc)

    # --- deadlines -----------------------------------------------------------------------------

    def on_deadline(self, now: float) -> None:
        """Abort a dead peer, close an expired session, or send a ping."""
        session = self._session
        if session is None or session.state is SessionState.CLOSED:  # closing takes too long
            self._transport.abort()
            return
        settings = self._context.settings
        if self._paused_at is not None and now - self._paused_at >= settings.write_timeout_s:
            self._transport.abort()
            return
        if session.claims.exp <= self._context.clocks.unix():
            self._context.core.close(session, codes.EXPIRED_TOKEN)
            return
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + settings.ping_interval_s
            # A ping to a paused peer, and its pong, would wait behind everything unread; there
            # the write timeout decides.
            if self._paused_at is None and not self._heartbeat():
                self._transport.abort()
                return
        if self._paused_at is None and now - self._last_write >= settings.ping_interval_s:
            self.deliver(_PING, now)
            self._last_write = now  # also for an encoding without pings
        self._set_deadline(now)

    def _set_deadline(self, now: float) -> None:
        session = self._session
        assert session is not None
        settings = self._context.settings
        expiry = now + session.claims.exp - self._context.clocks.unix()
        deadline = min(self._heartbeat_at, expiry)
        if self._paused_at is None:
            deadline = min(deadline, self._last_write + settings.ping_interval_s)
        else:
            deadline = min(deadline, self._paused_at + settings.write_timeout_s)
        self._context.timers.set(self, deadline)

    # --- the end -------------------------------------------------------------------------------

    def _detach(self) -> None:
        if self._session is not None:
            self._context.core.detach(self._session)
            self._session = None

    def _remove(self) -> None:
        self._detach()
        self._context.remove(self)

    def _disconnect(self, cleanup: Callable[[], None]) -> bool:
        """Stop delivery and queue `cleanup`; return False if delivery had stopped already."""
        session = self._session
        if session is None or session.state is SessionState.CLOSED:
            return False
        context = self._context
        context.core.mark_disconnected(session)
        context.cleanup_queue.submit(cleanup)
        context.core.flush()  # thousands may be lost after this one; deliver in between
        return True
