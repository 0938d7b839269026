"""What every long-lived connection has in common: it is the `Sink` of one session.

A `StreamProtocol` writes what its session delivers, in its form; tells the session when the peer
takes no more and when it does again; and lives by one deadline: the earliest of the next beat, the
token's expiry and the end of the peer's patience with us. `websocket.py` and `events.py` say what
goes over the wire beside messages.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace import codes, limits
from headrace.message import Encodable, Form, Notice
from headrace.position import Position
from headrace.server.connection import Connection
from headrace.session import Session, State
from headrace.tokens import Claims

if TYPE_CHECKING:
    from headrace.server.server import Server

_PING = Notice({"type": "ping"})


class StreamProtocol(Connection):
    """One connection that a session's messages go to, until either side ends it."""

    __slots__ = (
        "_beat_at",
        "_form",
        "_last_write",
        "_paused_at",
        "_session",
    )

    def __init__(self, server: "Server", transport: asyncio.Transport, form: Form) -> None:
        super().__init__(server)
        self._transport = transport
        self._form = form
        self._session: Session | None = None
        self._last_write = self._beat_at = server.clocks.monotonic()
        self._paused_at: float | None = None

    def open(self, claims: Claims, last_id: Position | None, since: Position | None = None) -> None:
        """Attach to the hub; the first thing written is the `open` notice."""
        self._transport.set_write_buffer_limits(limits.WRITE_HIGH_WATER_BYTES)
        now = self._server.clocks.monotonic()
        self._beat_at = now + self._server.settings.ping_interval_s
        # The head that was written before may have filled the transport; it paused who was there.
        if self._transport.get_write_buffer_size() > limits.WRITE_HIGH_WATER_BYTES:
            self._paused_at = now
        self._session = session = self._server.hub.attach(claims, self, last_id, since)
        if self._paused_at is not None:  # by then, or by the notice: there was no session to tell
            session.pause()
        self._set_deadline(now)

    # --- for the kinds of stream ---------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """End the connection in the way of its protocol (`Sink.close`)."""
        raise NotImplementedError

    def _beat(self) -> bool:
        """Look after the line, once every ping interval; False when it is dead."""
        raise NotImplementedError

    def _heard_of(self) -> None:
        """Take note of a sign of life: the peer has taken what we wrote."""

    # --- the session's sink --------------------------------------------------------------------

    def deliver(self, what: Encodable, now: float) -> None:
        """Write a message, a run of them or a notice, in this connection's form."""
        data = what.encoded(self._form)
        if data:  # a bare client gets no notices
            self._transport.write(data)
            self._last_write = now

    # --- the transport's callbacks -------------------------------------------------------------

    def eof_received(self) -> bool:
        """Close: nothing that we send would be answered.

        It closes once it has written what it holds, so the session must not wait for that.
        """
        self._set_closing_deadline()
        self._lose(self._detach)
        return False

    def pause_writing(self) -> None:
        """Leave what comes in the ring until the peer has taken more."""
        self._paused_at = now = self._server.clocks.monotonic()
        if self._session is not None:
            self._session.pause()
            self._set_deadline(now)

    def resume_writing(self) -> None:
        """Go on with what waits in the ring."""
        self._paused_at = None
        self._heard_of()
        if self._session is not None:
            self._server.hub.resume(self._session)

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the connection's place; all else has its turn, for thousands may be lost at once."""
        if self._lose(self._forget):
            self._server.connections.discard(self)
        else:
            super().connection_lost(exc)

    # --- deadlines -----------------------------------------------------------------------------

    def on_deadline(self, now: float) -> None:
        """Do what the time asks for: cut, expire, look after the line, ping."""
        session = self._session
        if session is None or session.state is State.CLOSED:  # it is closing, and takes too long
            self._transport.abort()
            return
        settings = self._server.settings
        if self._paused_at is not None and now - self._paused_at >= settings.write_timeout_s:
            self._transport.abort()
            return
        if session.claims.exp <= self._server.clocks.unix():
            self._server.hub.close(session, codes.EXPIRED_TOKEN)
            return
        if now >= self._beat_at:
            self._beat_at = now + settings.ping_interval_s
            # A ping to a paused peer would wait behind all that it has still to read, and its
            # pong with it: there the write timeout is the judge.
            if self._paused_at is None and not self._beat():
                self._transport.abort()
                return
        if self._paused_at is None and now - self._last_write >= settings.ping_interval_s:
            self.deliver(_PING, now)
            self._last_write = now  # also where the form has no ping
        self._set_deadline(now)

    def _set_deadline(self, now: float) -> None:
        session = self._session
        assert session is not None
        settings = self._server.settings
        deadline = min(self._beat_at, now + session.claims.exp - self._server.clocks.unix())
        if self._paused_at is None:
            deadline = min(deadline, self._last_write + settings.ping_interval_s)
        else:
            deadline = min(deadline, self._paused_at + settings.write_timeout_s)
        self._server.wheel.set(self, deadline)

    def _set_closing_deadline(self) -> None:
        """Give the peer a while to take the goodbye."""
        self._set_timeout(limits.CLOSE_TIMEOUT_S)

    def _detach(self) -> None:
        if self._session is not None:
            self._server.hub.detach(self._session)
            self._session = None

    def _forget(self) -> None:
        self._detach()
        self._server.forget(self)

    def _lose(self, rest: Callable[[], None]) -> bool:
        """Stop delivering, and do the `rest` in turn; False where that was so already."""
        session = self._session
        if session is None or session.state is State.CLOSED:
            return False
        server = self._server
        server.hub.lose(session)
        server.departures.submit(rest)
        server.hub.flush()  # behind us may be thousands; who waits for a message may not
        return True
