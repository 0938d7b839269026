"""Fakes for the layers that know the event loop: an application, a transport, requests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.helpers.fakes import ManualClock

from headrace.api.context import ApiContext
from headrace.api.dispatcher import Dispatcher
from headrace.api.hub import SYSTEM_CLOCKS, Hub
from headrace.api.router import Route
from headrace.api.routes.table import all_routes
from headrace.errors import HeadraceError
from headrace.hub.application import Application, UpdateMessage
from headrace.hub.core import Clocks
from headrace.hub.presence import PresenceChange
from headrace.protocol.http.events import RequestHead
from headrace.server.connections.http_protocol import HttpProtocol
from headrace.server.context import ServerContext
from headrace.server.tick_budget import TickBudget
from headrace.settings import Settings

SECRET = "a secret of the tests, 32 bytes+"
API_KEY = "the-key-of-the-tests-application"


class FakeApplication:
    """Records its calls; `receive` raises `error` if it is set."""

    def __init__(self) -> None:
        self.changes: list[PresenceChange] = []
        self.messages: list[UpdateMessage] = []
        self.error: HeadraceError | None = None
        self.closed = 0

    def presence_changed(self, change: PresenceChange) -> None:
        self.changes.append(change)

    async def receive(self, message: UpdateMessage) -> None:
        if self.error is not None:
            raise self.error
        self.messages.append(message)

    async def aclose(self) -> None:
        self.closed += 1


def settings_with(**settings: Any) -> Settings:
    defaults: dict[str, Any] = {"port": 0, "secrets": (SECRET,), "api_key": API_KEY, "drain_s": 0}
    return Settings(**(defaults | settings))


def new_hub(
    application: Application | None = None, *, clocks: Clocks = SYSTEM_CLOCKS, **settings: Any
) -> Hub:
    """Return a hub that has not been started."""
    return Hub(settings_with(**settings), application, clocks=clocks)


def new_api(*, demo: bool = False, **settings: Any) -> ApiContext:
    """Return the context of a hub that has not been started, with manual clocks."""
    return ApiContext(new_hub(clocks=ManualClock().clocks, **settings), demo=demo)


def request_head(
    method: str = "GET",
    target: str = "/",
    headers: dict[str, str] | None = None,
    *,
    body: bytes | None = b"",
) -> RequestHead:
    """Return the head of a request; a body gets its Content-Length."""
    fields = {name.lower(): value for name, value in (headers or {}).items()}
    if body:
        fields.setdefault("content-length", str(len(body)))
    path, _, query = target.partition("?")
    return RequestHead.from_headers(method, target, path, query, tuple(fields.items()))


class MemoryTransport(asyncio.Transport):
    """A transport that keeps what is written; the test plays the peer and the event loop.

    `feed` and `feed_eof` call the protocol as an event loop does. `lose` ends the connection, as an
    event loop does in the tick after `close` or `abort`. A peer that does not read
    (`peer_reads = False`) makes the transport pause its protocol above the high-water mark;
    `read_all` resumes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.peer_reads = True
        self.high_water_bytes = 64 * 1024
        self.has_write_eof = True  # False: as a transport over TLS
        self.wrote_eof = self.aborted = False
        self._buffered_bytes = 0
        self._closing = self._lost = self._reading_paused = self._writing_paused = False
        self._protocol: asyncio.BaseProtocol = asyncio.Protocol()

    # --- the peer ------------------------------------------------------------------------------

    def connect(self, protocol: asyncio.Protocol) -> None:
        """Begin the connection."""
        self._protocol = protocol
        protocol.connection_made(self)

    def feed(self, data: bytes) -> None:
        """Let the protocol receive bytes."""
        assert not self._reading_paused, "reading is paused"
        assert isinstance(self._protocol, asyncio.Protocol)
        self._protocol.data_received(data)

    def feed_eof(self) -> None:
        """Let the protocol receive the end of the peer's side."""
        assert isinstance(self._protocol, asyncio.Protocol)
        if not self._protocol.eof_received():
            self.close()

    def read_all(self) -> None:
        """Read what the transport has buffered."""
        self._buffered_bytes = 0
        if self._writing_paused:
            self._writing_paused = False
            self._protocol.resume_writing()

    def lose(self) -> None:
        """End the connection."""
        if not self._lost:
            self._closing = self._lost = True
            self._protocol.connection_lost(None)

    def take_written(self) -> bytes:
        """Return what was written since the last call."""
        data = bytes(self.written)
        self.written.clear()
        return data

    # --- asyncio.Transport ---------------------------------------------------------------------

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = self.aborted = True

    def is_reading(self) -> bool:
        return not self._reading_paused and not self._closing

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self) -> None:
        self._reading_paused = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is not None:
            self.high_water_bytes = high

    def get_write_buffer_size(self) -> int:
        return self._buffered_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.wrote_eof, "nothing can be written after write_eof"
        if self._closing:
            return
        self.written += data
        if not self.peer_reads:
            self._buffered_bytes += len(data)
            if self._buffered_bytes > self.high_water_bytes and not self._writing_paused:
                self._writing_paused = True
                self._protocol.pause_writing()

    def write_eof(self) -> None:
        self.wrote_eof = True

    def can_write_eof(self) -> bool:
        return self.has_write_eof


class QueueingBudget(TickBudget):
    """A tick budget that runs no work at once."""

    def submit(self, work: Callable[[], None]) -> bool:
        self.defer(work)
        return False


class ServerBench:
    """A running hub and a `ServerContext` on the current event loop, without sockets.

    Time is manual: `advance` moves the clock and handles the deadlines that are due. The work of
    the tick budget is not run before `take_turns`.
    """

    def __init__(self, hub: Hub, clock: ManualClock, routes: tuple[Route, ...]) -> None:
        self.hub = hub
        self.clock = clock
        self.api = ApiContext(hub)
        dispatcher = Dispatcher(self.api, (*all_routes(self.api), *routes))
        self.context = ServerContext(hub, dispatcher, hub.settings.max_connections or 100)
        self.turns: list[Callable[[], None]] = []
        self.context.tick_budget = QueueingBudget(self.turns.append, clock.clocks.monotonic)

    def take_turns(self) -> None:
        """Run the ticks of the tick budget until no work is left."""
        while self.turns:
            self.turns.pop(0)()

    def connect(self) -> tuple[HttpProtocol, MemoryTransport]:
        """Return a new connection."""
        protocol, transport = HttpProtocol(self.context), MemoryTransport()
        transport.connect(protocol)
        return protocol, transport

    def advance(self, seconds: float) -> None:
        """Let time pass in steps of the timer's resolution."""
        end = self.clock.monotonic_s + seconds
        while self.clock.monotonic_s < end:
            self.clock.advance(min(0.25, end - self.clock.monotonic_s))
            self.context.timers.advance(self.clock.monotonic_s)


@asynccontextmanager
async def server_bench(
    application: Application | None = None, *, routes: tuple[Route, ...] = (), **settings: Any
) -> AsyncIterator[ServerBench]:
    """Run a hub with a `ServerContext` in front of it."""
    clock = ManualClock()
    hub = new_hub(application, clocks=clock.clocks, **settings)
    async with hub:
        yield ServerBench(hub, clock, routes)
