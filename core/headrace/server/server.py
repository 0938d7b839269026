"""The server of one process: the hub with a listening socket, a timer and an end."""

import asyncio
import time
from collections.abc import Coroutine, Iterable
from email.utils import formatdate
from functools import partial
from typing import Any

from headrace import limits
from headrace.api.dispatch import Dispatcher
from headrace.api.node import Node
from headrace.api.routes import routes_of
from headrace.api.routing import Route
from headrace.application import Application
from headrace.backplane.local import LocalBackplane
from headrace.errors import ConfigError, RequestError
from headrace.hub import Clocks, Hub, Receipt
from headrace.position import Position, parse_position
from headrace.server import running
from headrace.server.admission import Admission
from headrace.server.arriving import ArrivingProtocol
from headrace.server.connection import Connection
from headrace.server.drain import end_connections, say_goodbye, spread_of
from headrace.server.sockets import bind, default_max_connections, set_options, tls_context
from headrace.server.state import StateDirectory
from headrace.settings import Settings
from headrace.snapshot import restore, take
from headrace.wheel import TimerWheel

_RETRY_AFTER = (("retry-after", str(limits.RETRY_AFTER_S)),)


def _date(clocks: Clocks) -> tuple[str, str]:
    return "date", formatdate(clocks.unix(), usegmt=True)


def _together(own: tuple[Route, ...], further: Iterable[Route]) -> tuple[Route, ...]:
    """Return all routes; ConfigError for one of `further` that has no handler or no path left."""
    taken = {(route.method, route.path) for route in own}
    further = tuple(further)
    for route in further:
        named = route.method, route.path
        if route.handler is None or not route.path.startswith("/"):
            raise ConfigError(f"the route {named} needs a handler, and a path that begins with /")
        if named in taken:
            raise ConfigError(f"the route {named} is there already; take another path")
        taken.add(named)
    return own + further


class Server:
    """Serves one hub on one address.

        server = Server(settings)
        await server.start()
        ...
        await server.stop()

    Made and used within a running event loop, from its thread alone.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        demo: bool = False,
        application: Application | None = None,
        routes: Iterable[Route] = (),
    ) -> None:
        """ConfigError where a setting or a route cannot be used.

        `demo` opens the chat room at `/`. `application` is told who comes and goes, and gets the
        update-messages that no token allows to relay. `routes` are the application's own pages
        and requests, each with a `handler`, at paths that Headrace does not use itself.
        """
        self.loop = asyncio.get_running_loop()
        self.settings = settings
        self.clocks = Clocks(self.loop.time, time.time)
        self.hub = Hub(settings, self.clocks, self.loop.call_soon)
        self.hub.backplane = LocalBackplane(self.hub)
        self.hub.application = application
        self.node = Node(settings, self.hub, demo=demo)
        self.dispatcher = Dispatcher(self.node, _together(routes_of(self.node), routes))
        self.wheel = TimerWheel(self.clocks.monotonic(), limits.TICK_S)
        self.admission = Admission(
            self.loop.call_soon, self.clocks.monotonic, deliver=self.hub.flush
        )
        self.departures = Admission(
            partial(self.loop.call_later, limits.DEPARTURES_EVERY_S),
            time.perf_counter,  # the loop's clock has steps of a millisecond
            limits.DEPARTURES_BUDGET_S,
            share=0.0,
            at_once_s=0.0,
        )
        self.connections: set[Connection] = set()
        self.turned_away: set[Connection] = set()  # those that have still to read why
        self.date = _date(self.clocks)  # a header of each answer (RFC 9110 section 6.6.1)
        self.draining = False
        self.port = settings.port
        self.waits = False  # while it starts, for the process before it to end
        self._max_connections = settings.max_connections or default_max_connections()
        self._listeners: list[asyncio.Server] = []
        self._state = StateDirectory(settings.state_dir) if settings.state_dir else None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._striking = False  # deadlines that were due wait for their turn
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()  # a connection has

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the server, once it has started."""
        scheme = "http" if self.settings.tls_cert is None else "https"
        host = self.settings.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared with, not bound to
            host = "localhost"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def start(self) -> None:
        """Listen; ConfigError where the address, the TLS files or `state_dir` cannot be used.

        With a `state_dir`, waits for the process before this one to end.
        """
        settings = self.settings
        tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = tls_context(settings.tls_cert, settings.tls_key)
        sockets = await bind(settings.host, settings.port, shared=self._state is not None)
        self.port = sockets[0].getsockname()[1]
        if self._state is not None:
            self.waits = True
            await self._state.begin_accepting()
        for each in sockets:
            set_options(each, write_timeout_s=settings.write_timeout_s)
            each.listen(limits.LISTEN_BACKLOG)
        if self._state is not None:  # what connects from now on waits in the backlog
            await self._state.begin_writing()
            self.waits = False
            self._restore(self._state)
        for each in sockets:
            # uvloop accepts one connection a tick from each, and in a storm that is not enough.
            for listening in (each, *(each.dup() for _ in range(limits.ACCEPTS_PER_TICK - 1))):
                listener = await self.loop.create_server(
                    lambda: ArrivingProtocol(self),
                    sock=listening,
                    ssl=tls,
                    ssl_handshake_timeout=limits.HEADER_TIMEOUT_S if tls else None,
                    ssl_shutdown_timeout=limits.CLOSE_TIMEOUT_S if tls else None,
                    backlog=limits.LISTEN_BACKLOG,
                )
                self._listeners.append(listener)
        self._tick()
        running.add(self)

    def _restore(self, state: StateDirectory) -> None:
        saved = state.load()
        if saved is not None:
            return_s = spread_of(len(saved.present), self.settings.drain_s)
            restore(self.hub, saved, return_s=return_s)
            for sent in saved.sends:
                receipt = Receipt(parse_position(sent.id), sent.sessions)
                self.node.sends.remember(sent.key, sent.left_s, receipt)
        else:  # after a crash, in which the clock may have been set back
            floor = Position(state.reserved_ms() + 1, 0)
            self.hub.history.begin(max(floor, self.hub.history.floor))
        state.reserve_ids(self.hub.history.latest.ms)  # clients may be told of it
        self.hub.backplane = LocalBackplane(self.hub, state.reserve_ids)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task of its own, and hold on to it until it has ended."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def refusal(self) -> RequestError | None:
        """Return why a new connection is turned away, None where it is welcome."""
        if self.draining:
            return self.shutting_down()
        if len(self.connections) >= self._max_connections:
            return RequestError(
                503,
                f"all {self._max_connections} connections are taken; try again later",
                _RETRY_AFTER,
            )
        return None

    def shutting_down(self) -> RequestError:
        """Return what is answered to those who want to stay, while the server goes."""
        return RequestError(503, "the server is shutting down; connect again", _RETRY_AFTER)

    def forget(self, connection: Connection) -> None:
        """Take note that a connection has ended."""
        self.wheel.cancel(connection)
        self.connections.discard(connection)
        self.turned_away.discard(connection)
        self._ended.set()

    async def all_gone(self) -> None:
        """Wait until there is no connection left."""
        while self.connections:
            self._ended.clear()
            await self._ended.wait()

    async def stop(self) -> None:
        """Send the clients away spread over `drain_s`, and end.

        Requests that are being answered get their answer, and new ones 503. WebSockets are closed
        with 1012. With a `state_dir`, the history is written there last of all.
        """
        self.draining = self.node.draining = True
        running.discard(self)
        if self._state is not None and self._state.has_successor():
            self._stop_listening()
            self._state.end_accepting()
        await say_goodbye(self)
        self._stop_listening()
        await end_connections(self)
        if self._state is None:
            self.hub.presence.end_all()
        if self.hub.application is not None:
            await self.hub.application.aclose()
        if self._state is not None:
            self._state.save(take(self.hub, self.node.sends.answers()))
            self._state.close()
        if self._tick_timer is not None:
            self._tick_timer.cancel()

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _tick(self) -> None:
        """Turn the wheel; one timer for all deadlines of the process."""
        # First, so that what raises below does not stop all clocks.
        self._tick_timer = self.loop.call_later(limits.TICK_S, self._tick)
        if not self._striking:
            self._strike()
        self.date = _date(self.clocks)
        self.hub.expire()
        self.node.message_buckets.expire(self.clocks.monotonic())

    def _strike(self) -> None:
        """Act on the deadlines that are due, in turns: thousands may have connected together."""
        now = self.clocks.monotonic()
        until = now + limits.DEADLINES_BUDGET_S
        # Meanwhile, for what raises takes nobody's later deadlines along.
        self._striking = False
        if not self.wheel.advance(now, lambda: self.clocks.monotonic() >= until):
            self._striking = True
            self.admission.defer(self._strike)
