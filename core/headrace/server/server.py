"""`Server`: serves one hub on one address.

    operation    NEW       STARTING               SERVING              DRAINING      CLOSED
    start        starts    error                  error                error         error
    stop         closes    cancels the start      drains and closes    waits         nothing

The states are those of `hub/lifecycle.py`. Nothing is written to `state_dir` unless the server has
taken over the state of the process before it.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self

import msgspec

from headrace.api.context import ApiContext
from headrace.api.dispatcher import Dispatcher
from headrace.api.hub import Hub
from headrace.api.router import Route
from headrace.api.routes.table import all_routes, split_routes
from headrace.errors import ConfigError, StateError
from headrace.hub.lifecycle import LifeCycle, LifeState, LifeStep
from headrace.server.accept_errors import limit_accept_errors
from headrace.server.connections.http_protocol import HttpProtocol
from headrace.server.connections.tls_handshake import TlsHandshake
from headrace.server.context import TIMER_RESOLUTION_S, ServerContext
from headrace.server.persistence import Persistence
from headrace.server.socket_handover import SocketOffer, bind_or_receive, offer_sockets
from headrace.server.sockets import (
    LISTEN_BACKLOG,
    bind,
    default_max_connections,
    set_options,
    tls_context,
)
from headrace.settings import parse_address

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
        merged = _merge(all_routes(self.api), routes)
        self._admin_dispatcher: Dispatcher | None = None
        if hub.settings.admin_listen is not None:
            merged, admin_routes = split_routes(merged)
            self._admin_dispatcher = Dispatcher(self.api, admin_routes)
        self._dispatcher = Dispatcher(self.api, merged)
        self._context: ServerContext | None = None
        self._listeners: list[asyncio.Server] = []
        self._allow_accept_errors: Callable[[], None] | None = None
        self.admin_port: int | None = None  # of `admin_listen`, once it listens
        self._persistence: Persistence | None = None
        self._offer: SocketOffer | None = None
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
            if self._persistence is not None:
                self._persistence.release()
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
            if self._persistence is not None:
                self._persistence.save()  # first of all, since the process may be killed
                if self._persistence.directory.has_successor():
                    self._stop_listening()
                    self._persistence.directory.end_accepting()
            await self.hub.drain()
            self._stop_listening()
            await self.context.close_connections()
        finally:  # also if this is cancelled
            self._close()
            if self._persistence is not None:
                self._persistence.save()
                # The application is still being notified; the next process must not overtake it.
                await self.hub.call_when_closed(self._persistence.hand_over)

    def _close(self) -> None:
        """Release everything but the state directory."""
        self._stop_listening()
        if self._timer is not None:
            self._timer.cancel()
        if self._context is not None:
            self._context.abort_connections()
        if self._allow_accept_errors is not None:
            self._allow_accept_errors()
        self.life.move(LifeStep.CLOSE)
        self._closed.set()

    # --- listening -----------------------------------------------------------------------------

    async def _start(self) -> None:
        settings = self.hub.settings
        tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = tls_context(settings.tls_cert, settings.tls_key)
        if settings.state_dir is not None:
            self._persistence = Persistence(self.hub, settings.state_dir)
        max_connections = settings.max_connections or default_max_connections()
        self._context = context = ServerContext(self.hub, self._dispatcher, max_connections)
        persistence = self._persistence
        if persistence is None:
            sockets = await bind(self.host, self.port, shared=False)
        else:
            sockets = await bind_or_receive(self.host, self.port, persistence.directory)
        admin_sockets: list[socket.socket] = []
        try:
            self.port = sockets[0].getsockname()[1]
            if settings.admin_listen is not None:
                host, port = parse_address(settings.admin_listen)
                admin_sockets = await bind(host, port, shared=persistence is not None)
                self.admin_port = admin_sockets[0].getsockname()[1]
            if persistence is not None:
                self.is_waiting_for_predecessor = True
                await persistence.directory.begin_accepting()
            for each in (*sockets, *admin_sockets):
                set_options(each, write_timeout_s=settings.write_timeout_s)
                each.listen(LISTEN_BACKLOG)
            if persistence is not None:  # new connections wait in the backlog meanwhile
                await persistence.take_over()
                self.is_waiting_for_predecessor = False
                self._offer = offer_sockets(persistence.directory, sockets)
            # uvloop accepts one connection per tick from each socket: too few in a burst.
            for each in tuple(sockets):
                sockets += [each.dup() for _ in range(ACCEPTS_PER_TICK - 1)]
            self._allow_accept_errors = limit_accept_errors(context.loop)
            await self._listen(sockets, context, tls)
            if self._admin_dispatcher is not None:
                await self._listen(admin_sockets, context.add_admin(self._admin_dispatcher), tls)
        except BaseException:  # a cancellation too
            for each in (*sockets, *admin_sockets):
                each.close()
            raise
        self._tick()

    async def _listen(
        self, sockets: list[socket.socket], context: ServerContext, tls: ssl.SSLContext | None
    ) -> None:
        """Accept connections on `sockets`, which are removed from the list one by one."""
        while sockets:
            listener = await context.loop.create_server(
                lambda: HttpProtocol(context) if tls is None else TlsHandshake(context, tls),
                sock=sockets[-1],
                backlog=LISTEN_BACKLOG,
                start_serving=False,  # starting may wait: the listener must be known by then
            )
            sockets.pop()  # the listener owns it
            self._listeners.append(listener)
            await listener.start_serving()

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if self._offer is not None:
            self._offer.close()

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
    # In a task, because `asyncio.timeout` and others need one; ours do without, which is faster.
    return own + tuple(
        route if route.stream_body else msgspec.structs.replace(route, run_in_task=True)
        for route in further
    )
