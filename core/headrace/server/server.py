"""The server of one process: the hub with a listening socket, a timer and an end."""

import asyncio
import contextlib
import random
import time
from collections.abc import Coroutine
from typing import Any

from headrace import codes, limits
from headrace.api.dispatch import Dispatcher
from headrace.api.node import Node
from headrace.api.routes import routes_of
from headrace.application import Application
from headrace.backplane.local import LocalBackplane
from headrace.errors import ConfigError, RequestError
from headrace.hub import Clocks, Hub
from headrace.message import Notice
from headrace.server.admission import Admission
from headrace.server.http import HttpProtocol
from headrace.server.sockets import default_max_connections, set_options, tls_context
from headrace.server.stream import StreamProtocol
from headrace.session import Session
from headrace.settings import Settings
from headrace.wheel import TimerWheel

_RETRY_AFTER = (("retry-after", str(limits.RETRY_AFTER_S)),)


class Server:
    """Serves one hub on one address.

        server = Server(settings)
        await server.start()
        ...
        await server.stop()

    Made and used within a running event loop, from its thread alone.
    """

    def __init__(
        self, settings: Settings, *, demo: bool = False, application: Application | None = None
    ) -> None:
        """ConfigError where a setting cannot be used.

        `demo` opens the chat room at `/`. `application` is told who comes and goes, and gets the
        update-messages that no token allows to relay.
        """
        self.loop = asyncio.get_running_loop()
        self.settings = settings
        self.clocks = Clocks(self.loop.time, time.time)
        self.hub = Hub(settings, self.clocks, self.loop.call_soon)
        self.hub.backplane = LocalBackplane(self.hub)
        self.hub.application = application
        self.node = Node(settings, self.hub, demo=demo)
        self.dispatcher = Dispatcher(self.node, routes_of(self.node))
        self.wheel = TimerWheel(self.clocks.monotonic(), limits.TICK_S)
        self.admission = Admission(self.loop.call_soon, self.clocks.monotonic)
        self.connections: set[HttpProtocol | StreamProtocol] = set()
        self.turned_away: set[HttpProtocol] = set()  # those that have still to read why
        self.draining = False
        self.port = settings.port
        self._max_connections = settings.max_connections or default_max_connections()
        self._listener: asyncio.Server | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_gone: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the server, once it has started."""
        scheme = "http" if self.settings.tls_cert is None else "https"
        host = self.settings.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared with, not bound to
            host = "localhost"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def start(self) -> None:
        """Listen; ConfigError where the address or the TLS files cannot be used."""
        settings = self.settings
        tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = tls_context(settings.tls_cert, settings.tls_key)
        try:
            self._listener = await self.loop.create_server(
                lambda: HttpProtocol(self),
                settings.host,
                settings.port,
                ssl=tls,
                ssl_handshake_timeout=limits.HEADER_TIMEOUT_S if tls else None,
                ssl_shutdown_timeout=limits.CLOSE_TIMEOUT_S if tls else None,
                backlog=limits.LISTEN_BACKLOG,
                start_serving=False,
            )
        except OSError as error:
            raise ConfigError(
                f"cannot listen on host {settings.host}, port {settings.port}:"
                f" {error.strerror or error}; choose another with --host and --port"
            ) from None
        for listener in self._listener.sockets:
            set_options(listener, write_timeout_s=settings.write_timeout_s)
        self.port = self._listener.sockets[0].getsockname()[1]
        await self._listener.start_serving()
        self._tick()

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

    def forget(self, connection: HttpProtocol | StreamProtocol) -> None:
        """Take note that a connection has ended."""
        self.wheel.cancel(connection)
        self.connections.discard(connection)
        if isinstance(connection, HttpProtocol):
            self.turned_away.discard(connection)
        if self._all_gone is not None and not self.connections:
            self._all_gone.set()

    async def stop(self) -> None:
        """Stop accepting, send the clients away spread over `drain_s`, and end.

        Requests that are being answered get their answer. WebSockets are closed with 1012.
        """
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        sessions = list(self.hub.sessions)
        spread_s = min(self.settings.drain_s, len(sessions) / limits.GOODBYES_PER_S)
        random.shuffle(sessions)
        started = self.clocks.monotonic()
        for number, session in enumerate(sessions):
            wait_s = started + spread_s * number / len(sessions) - self.clocks.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._say_goodbye(session, spread_s)
        await self._wait_for_connections()
        self.hub.presence.end_all()
        if self._tick_timer is not None:
            self._tick_timer.cancel()

    def _say_goodbye(self, session: Session, spread_s: float) -> None:
        if session not in self.hub.sessions:
            return
        delay_ms = int(random.uniform(0, spread_s) * 1000)  # noqa: S311 - jitter, not a secret
        notice = Notice({"type": "reconnect", "delay_ms": delay_ms})
        session.sink.deliver(notice, self.clocks.monotonic())
        self.hub.close(session, codes.RESTART)

    async def _wait_for_connections(self) -> None:
        """Wait until all connections have ended, idle ones at once and busy ones a while."""
        for connection in list(self.connections):
            connection.shut_down()
        if self.connections:
            self._all_gone = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.CLOSE_TIMEOUT_S):
                    await self._all_gone.wait()
        for connection in [*self.connections, *self.turned_away]:
            connection.abort()
        await asyncio.sleep(0)  # the aborted ones are told in the next tick

    def _tick(self) -> None:
        """Turn the wheel; one timer for all deadlines of the process."""
        now = self.clocks.monotonic()
        self.wheel.advance(now)
        self.hub.expire()
        self.node.message_buckets.expire(now)
        self._tick_timer = self.loop.call_later(limits.TICK_S, self._tick)
