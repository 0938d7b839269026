"""What the connections of one server share."""

import asyncio
import time
from collections.abc import Coroutine
from email.utils import formatdate
from functools import partial
from typing import Any, Final, Protocol

from headrace.api.dispatcher import Dispatcher
from headrace.api.hub import Hub
from headrace.errors import UnavailableError
from headrace.server.tick_budget import TickBudget
from headrace.server.timers import Timed, TimerWheel

TIMER_RESOLUTION_S: Final = 0.25

CLOSE_TIMEOUT_S: Final = 5.0
"""How long a peer may take to answer a close frame, or to read the end of a response."""

_CLEANUP_INTERVAL_S: Final = 0.1
"""How often sessions of lost connections are removed."""

_CLEANUP_BUDGET_S: Final = 0.002
"""The time per event loop tick for removing them."""


class ServedConnection(Timed, Protocol):
    """A connection, as far as the server needs to end it."""

    def shut_down(self) -> None:
        """Close when the current request, if any, has been answered."""

    def abort(self) -> None:
        """Close at once."""


class ServerContext:
    """The hub, the dispatcher, the timers and the set of connections.

    `tick_budget` runs the first requests of new connections and what is left of busy ones;
    `cleanup_queue` removes the sessions of lost connections. `connection_closed` is set whenever a
    connection has closed.
    """

    __slots__ = (
        "_max_connections",
        "_tasks",
        "cleanup_queue",
        "clocks",
        "connection_closed",
        "connections",
        "core",
        "date",
        "dispatcher",
        "hub",
        "loop",
        "refused",
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
        self.dispatcher = dispatcher
        self.timers = TimerWheel(self.clocks.monotonic(), TIMER_RESOLUTION_S)
        self.tick_budget = TickBudget(
            self.loop.call_soon, self.clocks.monotonic, deliver=self.core.flush
        )
        self.cleanup_queue = TickBudget(
            partial(self.loop.call_later, _CLEANUP_INTERVAL_S),
            time.perf_counter,
            _CLEANUP_BUDGET_S,
            share=0.0,
            eager_s=0.0,
        )
        self.connections: set[ServedConnection] = set()
        self.refused: set[ServedConnection] = set()
        """Connections over the limit that are still reading their 503."""
        self.connection_closed = asyncio.Event()
        self._max_connections = max_connections
        self._tasks: set[asyncio.Task[None]] = set()
        self.update_date()

    def update_date(self) -> None:
        """Set the `Date` header of all responses (RFC 9110 section 6.6.1) to the current time."""
        self.date = ("date", formatdate(self.clocks.unix(), usegmt=True))

    def check_capacity(self) -> None:
        """Raise UnavailableError if the server takes no new connections."""
        self.hub.check_accepting()
        if len(self.connections) >= self._max_connections:
            raise UnavailableError(
                f"all {self._max_connections} connections are in use; try again later"
            )

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task and keep a reference to it until it ends."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def remove(self, connection: ServedConnection) -> None:
        """Forget a connection that has closed."""
        self.timers.cancel(connection)
        self.connections.discard(connection)
        self.refused.discard(connection)
        self.connection_closed.set()

    async def close_connections(self) -> None:
        """Close all connections: idle ones at once, busy ones after their response or 5 s."""
        for connection in list(self.connections):
            connection.shut_down()
        await self._wait_closed()
        self.abort_connections()
        await asyncio.sleep(0)  # `connection_lost` follows in the next tick, over TLS a few later
        await self._wait_closed()

    def abort_connections(self) -> None:
        """Close all connections without waiting for anything."""
        for connection in [*self.connections, *self.refused]:
            connection.abort()

    async def _wait_closed(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self.connections:
                    self.connection_closed.clear()
                    await self.connection_closed.wait()
        except TimeoutError:
            pass
