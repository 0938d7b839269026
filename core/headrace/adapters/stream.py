"""A stream over a connection of the host: the `Sink` of one session, and two tasks.

    hub ──▶ deliver ──▶ _waiting ──▶ writer task ──▶ transport.write
    transport.read ──▶ reader task ──▶ ClientFrames ──▶ replies in _waiting

The session is paused from each delivery until the writer has written everything, so a backlog stays
in the session's ring, as references, and the slow-consumer policy is the hub's. Written means that
the host's `write` has returned: the host must wait in it until the client has read enough.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from headrace import codes, limits
from headrace.api.client_frames import ClientFrames
from headrace.api.hub import Hub
from headrace.api.stream_requests import StreamRequest
from headrace.errors import TokenError
from headrace.hub.lifecycle import LifeState
from headrace.hub.session import Session
from headrace.messages.message import ControlMessage, Encodable, Encoding, Message, MessageBatch

CLOSE_TIMEOUT_S = 5.0
"""How long the last messages and the close may take; then the connection is aborted."""

WAITING_MAX_COUNT: Final = 64
"""With so much to write, no more is read: a client must read its replies."""

_PING: Final = ControlMessage({"type": "ping"})


class StreamTransport(Protocol):
    """A connection of the host. `read` and `write` raise OSError if it is lost."""

    async def read(self) -> str | bytes | None:
        """Return the next text or binary frame, or None when the client has disconnected."""

    async def write(self, what: Encodable) -> None:
        """Write a message, a batch or a control message; wait while the client does not read."""

    async def close(self, code: int, reason: str) -> None:
        """Close in the way of the protocol."""

    def abort(self) -> None:
        """Close at once, without waiting for the client, if the host can."""


def frame_texts(what: Encodable, encoding: Encoding) -> list[str]:
    """Return the text frames for a host that builds the frames itself; `encoding` is V1 or BARE."""
    if isinstance(what, MessageBatch):
        return [text for message in what.messages for text in frame_texts(message, encoding)]
    if encoding is Encoding.V1:  # whose envelope is that of a poll
        return [what.encode(Encoding.POLL).decode()]
    return [what.data] if isinstance(what, Message) else []


class HostedStream:
    """One client's stream. Await `run` in the host's handler; it returns when the stream is over.

    `spawn` runs a coroutine in a task that may outlive the stream.
    """

    def __init__(
        self,
        hub: Hub,
        transport: StreamTransport,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._hub = hub
        self._core = hub.core
        self._monotonic = hub.clocks.monotonic
        self._transport = transport
        self._spawn = spawn
        self._frames: ClientFrames | None = None
        self._session: Session | None = None
        self._waiting: list[Encodable] = []
        self._wake = asyncio.Event()  # there is something to write, or to close
        self._written = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._write_began: float | None = None  # while a write is not finished
        self._last_write = self._monotonic()
        self._writer: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, request: StreamRequest) -> None:
        """Attach a session and serve it until it is closed, or until the client disconnects."""
        code = self._refusal(request)
        if code is not None:
            await self._transport.close(code, codes.REASONS[code])
            return
        assert request.claims is not None
        self._session = session = self._core.attach(
            request.claims, self, request.last_id, request.since
        )
        session.pause()  # until `open` has been written
        if request.encoding is Encoding.V1:
            self._frames = ClientFrames(self._hub)
        self._writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read())
        tasks = (self._writer, reader)
        self._set_timer()
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._closing is not None:
                await asyncio.wait((self._writer,))
        finally:
            self._core.detach(session)
            if self._timer is not None:
                self._timer.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, OSError):
                raise error

    def _refusal(self, request: StreamRequest) -> int | None:
        """Return the code to close with at once, or None.

        The hub may have changed since the request was checked: accepting it takes the host a while.
        """
        if request.claims is None:
            assert request.fault is not None
            return request.fault.close_code
        if self._hub.life.state is not LifeState.SERVING:
            return codes.RESTART
        try:
            self._core.revocations.check(request.claims)
        except TokenError as error:
            return error.close_code
        return None

    # --- the session's sink --------------------------------------------------------------------

    def deliver(self, what: Encodable, now: float) -> None:
        """Pass `what` to the writer, and pause the session until it has been written."""
        self._waiting.append(what)
        self._wake.set()
        if self._session is not None:
            self._session.pause()

    def close(self, code: int, reason: str) -> None:
        """Close after what was delivered before, or abort after `CLOSE_TIMEOUT_S`."""
        self._closing = code, reason
        self._wake.set()
        self._set_timer()

    # --- the two tasks -------------------------------------------------------------------------

    async def _write(self) -> None:
        assert self._session is not None
        while True:
            if self._waiting:
                items, self._waiting = self._waiting, []
                for what in items:
                    self._write_began = self._monotonic()
                    await self._transport.write(what)
                self._write_began = None
                self._last_write = self._monotonic()
                self._written.set()
            elif self._closing is not None:
                await self._transport.close(*self._closing)
                return
            else:
                self._core.resume(self._session)
                self._wake.clear()
                await self._wake.wait()

    async def _read(self) -> None:
        while (frame := await self._transport.read()) is not None:
            if self._closing is None:
                self._handle(frame)
                await asyncio.sleep(0)  # the host may have many frames, and its `read` not wait
            while len(self._waiting) >= WAITING_MAX_COUNT:
                self._written.clear()
                await self._written.wait()

    def _handle(self, frame: str | bytes) -> None:
        """Handle a frame of `headrace.v1`; text frames of other clients are ignored."""
        session = self._session
        assert session is not None
        if isinstance(frame, bytes):
            self._core.close(session, codes.UNSUPPORTED_DATA)
        elif len(frame.encode()) > limits.CLIENT_FRAME_MAX_BYTES:
            self._core.close(session, codes.MESSAGE_TOO_BIG)
        elif self._frames is not None:
            reply = self._frames.handle(session, frame)
            if isinstance(reply, ControlMessage):
                self.deliver(reply, self._monotonic())
            elif reply is not None:
                self._spawn(self._reply_later(reply))
            else:  # renewed: the token expires at another time
                self._set_timer()

    async def _reply_later(self, work: Coroutine[Any, Any, ControlMessage]) -> None:
        reply = await work
        if self._closing is None:
            self.deliver(reply, self._monotonic())

    # --- deadlines -----------------------------------------------------------------------------

    def _set_timer(self) -> None:
        """Set the timer to the next deadline."""
        session = self._session
        if self._timer is not None:
            self._timer.cancel()
        if session is None:
            return
        settings = self._hub.settings
        now = self._monotonic()
        if self._closing is not None:
            wait_s = CLOSE_TIMEOUT_S
        else:
            if self._write_began is not None:
                due = self._write_began + settings.write_timeout_s
            else:  # a write that begins later must not be noticed too late
                due = min(
                    self._last_write + settings.ping_interval_s, now + settings.write_timeout_s
                )
            wait_s = min(due - now, session.claims.exp - self._hub.clocks.unix())
        self._timer = self._hub.loop.call_later(max(wait_s, 0), self._on_timer)

    def _on_timer(self) -> None:
        """Abort a client that does not read, close an expired session, or send a ping."""
        session = self._session
        assert session is not None
        settings = self._hub.settings
        now = self._monotonic()
        if self._closing is not None or (
            self._write_began is not None and now - self._write_began >= settings.write_timeout_s
        ):
            self._abort()
            return
        if session.claims.exp <= self._hub.clocks.unix():
            self._core.close(session, codes.EXPIRED_TOKEN)
            return
        if self._write_began is None and now - self._last_write >= settings.ping_interval_s:
            self._last_write = now
            self.deliver(_PING, now)
        self._set_timer()

    def _abort(self) -> None:
        self._transport.abort()
        assert self._writer is not None
        self._writer.cancel()
