"""`Server`: serves one hub on one address.

    operation    NEW       STARTING               SERVING              DRAINING      CLOSED
    start        starts    error                  error                error         error
    stop         closes    cancels the start      drains and closes    waits         nothing

The states are those of `hub/lifecycle.py`. Nothing is written to `state_dir` unless the server has
taken over the state of the process before it.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Final, Self

from headrace.api.context import ApiContext
from headrace.api.dispatcher import Dispatcher
from headrace.api.hub import Hub
from headrace.api.router import Route
from headrace.api.routes.table import all_routes
from headrace.api.session_drain import drain_duration
from headrace.errors import ConfigError, StateError
from headrace.hub.lifecycle import LifeCycle, LifeState, LifeStep
from headrace.hub.snapshot import Snapshot
from headrace.messages.position import Position
from headrace.server.connections.http_protocol import HEADER_TIMEOUT_S, HttpProtocol
from headrace.server.context import CLOSE_TIMEOUT_S, TIMER_RESOLUTION_S, ServerContext
from headrace.server.sockets import (
    LISTEN_BACKLOG,
    bind,
    default_max_connections,
    set_options,
    tls_context,
)
from headrace.server.state_directory import StateDirectory

ACCEPTS_PER_TICK: Final = 4
"""The most connections accepted per event loop tick, on each address."""

_DEADLINES_BUDGET_S: Final = 0.0005
"""The time per tick for deadlines that are due together, such as pings after a connect burst."""


class Server:
    """Listens on one address and serves a hub there.

        async with hub, Server(hub, port=8080) as server:
            print(server.url)

    `host` and `port` replace those of the hub's settings. `demo` opens the chat room at `/`.
    `routes` are the application's own, each with a handler, at paths that Headrace does not use.
    Stopping the server drains the hub. Use it from the thread of the event loop.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        host: str | None = None,
        port: int | None = None,
        demo: bool = False,
        routes: Iterable[Route] = (),
    ) -> None:
        """Raise ConfigError if a setting or a route cannot be used."""
        self.hub = hub
        self.host = hub.settings.host if host is None else host
        self.port = hub.settings.port if port is None else port
        self.api = ApiContext(hub, demo=demo)
        self.life = LifeCycle("server")
        self._dispatcher = Dispatcher(self.api, _merge(all_routes(self.api), routes))
        self._context: ServerContext | None = None
        self._listeners: list[asyncio.Server] = []
        self._state: StateDirectory | None = None
        self._saved_at: Position | None = None  # None: the state has not been taken over
        self._timer: asyncio.TimerHandle | None = None
        self._handling_deadlines = False
        self._starting: asyncio.Task[object] | None = None
        self._closed = asyncio.Event()
        self.is_waiting_for_predecessor = False

    @property
    def url(self) -> str:
        """The URL of the server for a browser on this machine, once it has started."""
        scheme = "http" if self.hub.settings.tls_cert is None else "https"
        host = self.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared with, not bound to
            host = "localhost"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def context(self) -> ServerContext:
        """What the connections share. Raises StateError before `start`."""
        if self._context is None:
            raise StateError("the server has not been started")
        return self._context

    # --- life cycle ----------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. The hub must have been started.

        With a `state_dir`, waits until the process before this one has ended, and takes over its
        state. Raises ConfigError if the address, the TLS files or `state_dir` cannot be used.
        """
        self.hub.life.check_running()
        self.life.move(LifeStep.START)
        self._starting = asyncio.current_task()
        try:
            await self._start()
        except BaseException:  # a cancellation too must release the address and the locks
            self._close()
            raise
        self.life.move(LifeStep.STARTED)

    async def stop(self) -> None:
        """Close the clients' sessions, spread over `drain_s`, then all connections.

        Requests that have begun are answered, new ones get 503, WebSockets are closed with 1012.
        With a `state_dir` the state is written there.
        """
        if self.life.state is LifeState.STARTING and self._starting is not None:
            self._starting.cancel()
        if self.life.state in (LifeState.STARTING, LifeState.DRAINING):
            await self._closed.wait()
            return
        if self.life.move(LifeStep.DRAIN) is not LifeState.DRAINING:
            return
        try:
            if self._state is not None and self._state.has_successor():
                self._stop_listening()
                self._state.end_accepting()
            await self.hub.drain()
            self._stop_listening()
            await self.context.close_connections()
        finally:  # also if this is cancelled
            self._close()

    def _close(self) -> None:
        """Release everything, and write the state if it had been taken over."""
        self._stop_listening()
        if self._timer is not None:
            self._timer.cancel()
        if self._context is not None:
            self._context.abort_connections()
        state = self._state
        if state is not None:
            if self._saved_at is None:
                state.close()
            else:
                self._save(state)
                # The application is still being notified; the next process must not overtake it.
                self.hub.call_when_closed(partial(self._hand_over, state))
        self.life.move(LifeStep.CLOSE)
        self._closed.set()

    def _save(self, state: StateDirectory) -> None:
        self._saved_at = self.hub.core.history.latest
        state.save(self.hub.snapshot())

    def _hand_over(self, state: StateDirectory) -> None:
        if self._saved_at != self.hub.core.history.latest:  # something was sent since
            self._save(state)
        state.close()

    # --- listening -----------------------------------------------------------------------------

    async def _start(self) -> None:
        settings = self.hub.settings
        tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = tls_context(settings.tls_cert, settings.tls_key)
        if settings.state_dir is not None:
            self._state = StateDirectory(settings.state_dir)
        max_connections = settings.max_connections or default_max_connections()
        self._context = context = ServerContext(self.hub, self._dispatcher, max_connections)
        sockets = await bind(self.host, self.port, shared=self._state is not None)
        try:
            self.port = sockets[0].getsockname()[1]
            if self._state is not None:
                self.is_waiting_for_predecessor = True
                await self._state.begin_accepting()
            for each in sockets:
                set_options(each, write_timeout_s=settings.write_timeout_s)
                each.listen(LISTEN_BACKLOG)
            if self._state is not None:  # new connections wait in the backlog meanwhile
                await self._state.begin_writing()
                self.is_waiting_for_predecessor = False
                self._take_over(self._state)
            # uvloop accepts one connection per tick from each socket: too few in a burst.
            for each in tuple(sockets):
                sockets += [each.dup() for _ in range(ACCEPTS_PER_TICK - 1)]
            while sockets:
                listener = await context.loop.create_server(
                    lambda: HttpProtocol(context),
                    sock=sockets[-1],
                    ssl=tls,
                    ssl_handshake_timeout=HEADER_TIMEOUT_S if tls else None,
                    ssl_shutdown_timeout=CLOSE_TIMEOUT_S if tls else None,
                    backlog=LISTEN_BACKLOG,
                    start_serving=False,  # starting may wait: the listener must be known by then
                )
                sockets.pop()  # the listener owns it
                self._listeners.append(listener)
                await listener.start_serving()
        except BaseException:  # a cancellation too
            for each in sockets:
                each.close()
            raise
        self._tick()

    def _take_over(self, state: StateDirectory) -> None:
        """Continue from the state of the process before this one."""
        hub = self.hub
        snapshot = state.load()
        if snapshot is None:  # after a crash, in which the clock may have been set back
            floor = Position(state.reserved_ms() + 1, 0)
            hub.core.history.resume_at(max(floor, hub.core.history.floor), {})
        hub.restore(snapshot, state.reserve_ids, return_s=self._return_s(snapshot))
        state.reserve_ids(hub.core.history.latest.ms)  # clients may be told this id
        self._saved_at = hub.core.history.latest

    def _return_s(self, snapshot: Snapshot | None) -> float:
        clients = 0 if snapshot is None else len(snapshot.online)
        return drain_duration(clients, self.hub.settings.drain_s)

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    # --- the timer -----------------------------------------------------------------------------

    def _tick(self) -> None:
        """Handle due deadlines, and update the date; one timer for the whole process."""
        # Re-armed first, so that an exception below does not stop the timer.
        self._timer = self.context.loop.call_later(TIMER_RESOLUTION_S, self._tick)
        if not self._handling_deadlines:
            self._handle_deadlines()
        self.context.update_date()

    def _handle_deadlines(self) -> None:
        """Handle due deadlines for a limited time per tick."""
        context = self.context
        now = context.clocks.monotonic()
        until = now + _DEADLINES_BUDGET_S
        self._handling_deadlines = False  # if a deadline raises, the next tick handles the others
        if not context.timers.advance(now, lambda: context.clocks.monotonic() >= until):
            self._handling_deadlines = True
            context.tick_budget.defer(self._handle_deadlines)


def _merge(own: tuple[Route, ...], further: Iterable[Route]) -> tuple[Route, ...]:
    """Return all routes; raise ConfigError for one of `further` that cannot be added."""
    taken = {(route.method, route.path) for route in own}
    further = tuple(further)
    for route in further:
        key = route.method, route.path
        if route.handler is None or not route.path.startswith("/"):
            raise ConfigError(f"the route {key} needs a handler and a path that starts with /")
        if key in taken:
            raise ConfigError(f"the route {key} exists already; choose another path")
        taken.add(key)
    return own + further
