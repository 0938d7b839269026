"""Run a server until a signal ends it."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable

from headrace.application import Application
from headrace.errors import ConfigError
from headrace.server.server import Server
from headrace.settings import Settings

try:
    import uvloop
except ImportError:  # a platform without it: slower, but it works
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    new_event_loop = uvloop.new_event_loop


_COLLECT_EVERY_S = 0.05
_YOUNG_PER_FULL_COLLECTION = 20_000  # a quarter of an hour

_ENDING = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger("headrace")


def run_server(
    settings: Settings,
    announce: Callable[[str], None],
    *,
    demo: bool = False,
    application: Callable[[], Application] | None = None,
    reload: Callable[[], Settings] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then drain and return.

    `announce` is called with the server's URL once it listens. `application` makes what is told
    who comes and goes; it is called within the event loop. On SIGHUP the secrets and the API
    key become those that `reload` returns; where it raises ConfigError all stays as it was.
    ConfigError where a setting cannot be used.
    """
    # Else the runner would have its own way with it, and give it back at the end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(settings, announce, demo, application, reload))


async def _serve(
    settings: Settings,
    announce: Callable[[str], None],
    demo: bool,
    application: Callable[[], Application] | None,
    reload: Callable[[], Settings] | None,
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, stopped.set)
    server = Server(settings, demo=demo, application=application() if application else None)
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, _reload_keys, server, reload)
    starting, stopping = loop.create_task(server.start()), loop.create_task(stopped.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done() and server.waits:  # it has taken nothing over yet
        starting.cancel()
        return
    await starting
    _tune_collector(loop)
    announce(server.url)
    await stopped.wait()
    await server.stop()
    for number in _ENDING:  # once more changes nothing, to the very end of the process
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _tune_collector(loop: asyncio.AbstractEventLoop) -> None:
    """Keep the garbage collector from stopping the server.

    A full collection visits every object of every connection, which takes 5 ms for a thousand of
    them, and by default one comes with every quarter of connections more. Hardly anything here is
    garbage in a cycle, so it may be rare. The young objects are looked at often instead, so that
    there are never many: in a storm as many old ones go as new ones come, by which the collector's
    own count of them stays low. From Python 3.14 on, it goes through the old ones in small steps.
    """
    gc.collect()
    gc.freeze()
    if sys.version_info < (3, 14):
        gc.set_threshold(700, 10, _YOUNG_PER_FULL_COLLECTION)
        _collect_young(loop)


def _collect_young(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_later(_COLLECT_EVERY_S, _collect_young, loop)
    gc.collect(1)


def _reload_keys(server: Server, reload: Callable[[], Settings]) -> None:
    try:
        server.node.use_keys(reload())
    except ConfigError as error:
        _log.error("the keys stay as they were: %s", error)
    else:
        _log.warning("the secrets and the API key were read again")
