"""Run a server until a signal ends it."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Callable
from typing import Final

from headrace.api.hub import Hub
from headrace.errors import ConfigError
from headrace.hub.application import Application
from headrace.server.server import Server
from headrace.settings import Settings

try:
    import uvloop
except ImportError:  # not available on this platform; asyncio's own loop is slower
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    new_event_loop = uvloop.new_event_loop

_COLLECT_INTERVAL_S: Final = 0.05
_YOUNG_PER_FULL_COLLECTION: Final = 20_000  # a quarter of an hour

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger("headrace")


def run_server(
    settings: Settings,
    announce: Callable[[str], None],
    *,
    demo: bool = False,
    application: Application | None = None,
    reload: Callable[[], Settings] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then drain and return, within `stop_timeout_s`.

    A second signal ends the drain at once: the state is written, and the rest is cut off.
    `announce` is called with the server's URL once it listens. `application` gets presence changes
    and update-messages. On SIGHUP the secrets and the API key are replaced by those that `reload`
    returns; if it raises ConfigError, nothing changes. Raises ConfigError if a setting cannot be
    used.
    """
    # Otherwise the runner would install its own handler, and restore it at the end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(settings, announce, demo, application, reload))


async def _serve(
    settings: Settings,
    announce: Callable[[str], None],
    demo: bool,
    application: Application | None,
    reload: Callable[[], Settings] | None,
) -> None:
    stopped, hurried = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def signalled() -> None:
        (hurried if stopped.is_set() else stopped).set()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, signalled)
    hub = Hub(settings, application)
    server = Server(hub, demo=demo)
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, _reload_keys, server, reload)
    await hub.start()
    try:
        starting, stopping = loop.create_task(server.start()), loop.create_task(stopped.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done() or not server.is_waiting_for_predecessor:
            await starting
            _tune_garbage_collector(loop)
            announce(server.url)
            await stopped.wait()
    finally:
        await _stop(server, hub, hurried, settings.stop_timeout_s)
    for number in _STOP_SIGNALS:  # a further signal has no effect until the process has ended
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


async def _stop(server: Server, hub: Hub, hurried: asyncio.Event, timeout_s: float) -> None:
    """Stop the server and close the hub; cut that short on a signal or after `timeout_s`."""

    async def stop() -> None:
        await server.stop()
        await hub.close()

    stopping, hurrying = asyncio.create_task(stop()), asyncio.create_task(hurried.wait())
    await asyncio.wait((stopping, hurrying), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if not stopping.done():
        reason = "a second signal" if hurried.is_set() else f"stop_timeout_s ({timeout_s:g})"
        _log.warning("%s ends the shutdown before all work is done", reason)
        stopping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stopping


def _tune_garbage_collector(loop: asyncio.AbstractEventLoop) -> None:
    """Keep the garbage collector from stopping the server.

    A full collection visits every object of every connection: 5 ms for a thousand of them. By
    default one runs whenever the number of connections has grown by a quarter. Hardly anything here
    is garbage in a reference cycle, so full collections may be rare. Young objects are collected
    often instead, so that there are never many: in a burst of reconnects as many old objects go as
    new ones come, so the collector's own count of young objects stays low. From Python 3.14 on, the
    collector visits old objects in small steps.
    """
    gc.collect()
    gc.freeze()
    if sys.version_info < (3, 14):
        gc.set_threshold(700, 10, _YOUNG_PER_FULL_COLLECTION)
        _collect_young(loop)


def _collect_young(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_later(_COLLECT_INTERVAL_S, _collect_young, loop)
    gc.collect(1)


def _reload_keys(server: Server, reload: Callable[[], Settings]) -> None:
    try:
        settings = reload()
        server.hub.use_secrets(settings.secrets)
        server.api.use_api_key(settings.api_key)
    except ConfigError as error:
        _log.error("SIGHUP: the keys were not changed: %s", error)
    else:
        _log.warning("SIGHUP: the secrets and the API key were read again")
