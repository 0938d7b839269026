"""What the connections of one server share, and who gets a place."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from copy import copy
from email.utils import formatdate
from functools import partial
from typing import Any, Final, Protocol

from headrace.api.dispatcher import Dispatcher
from headrace.api.hub import Hub
from headrace.api.router import Route
from headrace.errors import UnavailableError
from headrace.hub.lifecycle import LifeState
from headrace.server.memory_budget import MemoryBudget
from headrace.server.tick_budget import TickBudget
from headrace.server.timers import Timed, TimerWheel

TIMER_RESOLUTION_S: Final = 0.25

CLOSE_TIMEOUT_S: Final = 5.0
"""How long a peer may take to answer a close frame, or to read the end of a response."""

_CLEANUP_INTERVAL_S: Final = 0.1
"""How often sessions of lost connections are removed."""

_CLEANUP_BUDGET_S: Final = 0.002
"""The time per event loop tick for removing them."""


RESERVED_MAX_COUNT: Final = 32
"""Connections above `max_connections` for the application and for probes. When they are all in use,
the one that has been silent for the longest time is closed."""

REFUSED_MAX_COUNT: Final = 100
"""Connections above `max_connections` that may linger to read their response; more are aborted."""

HANDSHAKES_MAX_COUNT: Final = 256
"""TLS handshakes under way; above it a new connection is closed at once."""

ADMIN_MAX_CONNECTIONS: Final = 64
"""Connections of `admin_listen`, which has its own limit."""

NOSNIFF: Final = ("x-content-type-options", "nosniff")
"""Every response has it: a browser must not guess another content type."""

_log = logging.getLogger("headrace")


class ServedConnection(Timed, Protocol):
    """A connection, as far as the server needs to end it."""

    def shut_down(self) -> None:
        """Close when the current request, if any, has been answered."""

    def give_way(self) -> None:
        """Close, because another connection needs the reserved place."""

    def abort(self) -> None:
        """Close at once."""


class ServerContext:
    """What the connections of one address share: the hub, the dispatcher, the timers, the limits.

    `tick_budget` runs the first requests of new connections, `input_budget` what clients send on
    their streams; `cleanup_queue` removes the sessions of lost connections. `memory` counts what
    connections hold for their peers. `connection_closed` is set whenever a connection has closed.

    A connection is in one of three sets. `connections` holds up to `max_connections`. `reserved`
    holds up to RESERVED_MAX_COUNT more, and those accepted during a drain, in the order of their
    last bytes: they may not use the routes for clients, and close after a response. `refused` are
    connections without a place that are still reading their last response.

    With `admin_listen` there is a second context, `admin`, with its own dispatcher and its own
    connections; the rest is shared.
    """

    __slots__ = (
        "_tasks",
        "admin",
        "cleanup_queue",
        "clocks",
        "connection_closed",
        "connections",
        "core",
        "dispatcher",
        "handshakes",
        "headers",
        "hub",
        "input_budget",
        "loop",
        "max_connections",
        "memory",
        "refused",
        "reserved",
        "settings",
        "tick_budget",
        "timers",
    )

    def __init__(self, hub: Hub, dispatcher: Dispatcher, max_connections: int) -> None:
        """Must be called on the event loop that serves the connections."""
        self.loop = hub.loop
        self.hub = hub
        self.core = hub.core
        self.clocks = hub.clocks
        self.settings = hub.settings
        self.timers = TimerWheel(self.clocks.monotonic(), TIMER_RESOLUTION_S)
        self.tick_budget, self.input_budget = (
            TickBudget(self.loop.call_soon, self.clocks.monotonic, deliver=self.core.flush)
            for _ in range(2)
        )
        self.cleanup_queue = TickBudget(
            partial(self.loop.call_later, _CLEANUP_INTERVAL_S),
            time.perf_counter,
            _CLEANUP_BUDGET_S,
            share=0.0,
            eager_s=0.0,
        )
        self.memory = MemoryBudget()
        self.connection_closed = asyncio.Event()
        self.admin: ServerContext | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.dispatcher = dispatcher
        self.max_connections = max_connections
        self.connections: set[ServedConnection] = set()
        self.reserved: dict[ServedConnection, None] = {}
        self.refused: set[ServedConnection] = set()
        self.handshakes = 0
        self.update_date()

    def add_admin(self, dispatcher: Dispatcher) -> "ServerContext":
        """Return the context of `admin_listen`, whose requests `dispatcher` answers."""
        self.admin = admin = copy(self)
        admin.dispatcher = dispatcher
        admin.max_connections = ADMIN_MAX_CONNECTIONS
        admin.connections, admin.reserved, admin.refused = set(), {}, set()
        return admin

    def update_date(self) -> None:
        """Set the `Date` header of all responses (RFC 9110 section 6.6.1) to the current time."""
        self.headers = (("date", formatdate(self.clocks.unix(), usegmt=True)), NOSNIFF)
        """The headers that every response has."""
        if self.admin is not None:
            self.admin.headers = self.headers

    # --- places --------------------------------------------------------------------------------

    def check_capacity(self) -> None:
        """Raise UnavailableError if the server takes no new connections."""
        self.hub.check_accepting()
        if len(self.connections) >= self.max_connections:
            raise UnavailableError(
                f"all {self.max_connections} connections are in use; try again later"
            )

    def admit(self, connection: ServedConnection) -> None:
        """Give a new connection a place, a reserved one if there is no other.

        Does nothing if it has one already.
        """
        if connection in self.connections or connection in self.reserved:
            return
        is_serving = self.hub.life.state is LifeState.SERVING
        if is_serving and len(self.connections) < self.max_connections:
            self.connections.add(connection)
            return
        if len(self.reserved) >= RESERVED_MAX_COUNT:
            silent = next(iter(self.reserved))
            silent.give_way()
            self.reserved.pop(silent, None)
        self.reserved[connection] = None

    def note_activity(self, connection: ServedConnection) -> None:
        """Move a connection that received bytes to the end of the reserved ones."""
        if connection in self.reserved:
            del self.reserved[connection]
            self.reserved[connection] = None

    def check_reserved(self, connection: ServedConnection, route: Route | None) -> None:
        """Raise UnavailableError if a connection with a reserved place may not use a route.

        During a drain only the open routes are left, such as the health of the process. Otherwise
        those for clients are refused.
        """
        if connection not in self.reserved or route is None or route.access == "open":
            return
        self.hub.check_accepting()
        if route.access == "client":
            raise UnavailableError(
                f"all {self.max_connections} connections are in use; try again later"
            )

    def replace(self, connection: ServedConnection, successor: ServedConnection) -> None:
        """Give a connection's place to its successor on the same transport."""
        if connection in self.reserved:
            self.reserved[successor] = None
        elif connection in self.connections:
            self.connections.add(successor)
        self.remove(connection)

    def refuse(self, connection: ServedConnection, successor: ServedConnection) -> None:
        """Take a connection's place; `successor` lingers without one, or is aborted."""
        self.refused.add(successor)
        self.remove(connection)
        if len(self.refused) > REFUSED_MAX_COUNT:
            successor.abort()  # closing would wait for the TLS closing handshake

    def remove(self, connection: ServedConnection) -> None:
        """Forget a connection that has closed."""
        self.timers.cancel(connection)
        self.memory.release(connection)
        self.connections.discard(connection)
        self.reserved.pop(connection, None)
        self.refused.discard(connection)
        self.connection_closed.set()

    # --- tasks and the end ---------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` in a task and keep a reference to it until it ends; log its exception."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a task of a connection failed", exc_info=task.exception())

    async def close_connections(self) -> None:
        """Close all connections: idle ones at once, busy ones after their response or 5 s."""
        for connection in self._placed():
            connection.shut_down()
        await self._wait_closed()
        self.abort_connections()
        await asyncio.sleep(0)  # `connection_lost` follows in the next tick, over TLS a few later
        await self._wait_closed()

    def abort_connections(self) -> None:
        """Close all connections without waiting for anything."""
        for connection in self._placed():
            connection.abort()
        for context in self._contexts():
            for connection in list(context.refused):
                connection.abort()

    def _contexts(self) -> tuple["ServerContext", ...]:
        return (self,) if self.admin is None else (self, self.admin)

    def _placed(self) -> list[ServedConnection]:
        return [each for one in self._contexts() for each in (*one.connections, *one.reserved)]

    async def _wait_closed(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._placed():
                    self.connection_closed.clear()
                    await self.connection_closed.wait()
        except TimeoutError:
            pass
