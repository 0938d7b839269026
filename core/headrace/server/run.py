"""Run a server until a signal ends it."""

import asyncio
import signal
from collections.abc import Callable

from headrace.server.server import Server
from headrace.settings import Settings

try:
    import uvloop
except ImportError:  # a platform without it: slower, but it works
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    new_event_loop = uvloop.new_event_loop


def run_server(settings: Settings, announce: Callable[[str], None], *, demo: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; then drain and return.

    `announce` is called with the server's URL once it listens. ConfigError where a setting cannot
    be used.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(settings, announce, demo=demo))


async def _serve(settings: Settings, announce: Callable[[str], None], *, demo: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(settings, demo=demo)
    await server.start()
    announce(server.url)
    await stopped.wait()
    await server.stop()
