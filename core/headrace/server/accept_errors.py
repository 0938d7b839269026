"""Log at most once a minute that connections cannot be accepted for lack of file descriptors.

asyncio's own loop reports each attempt to its exception handler, up to 4,096 a tick. uvloop reports
nothing: it accepts and closes such connections.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

LOG_INTERVAL_S: Final = 60.0

_MESSAGE: Final = "socket.accept() out of system resource"  # in asyncio/selector_events.py

_log = logging.getLogger("headrace")


def limit_accept_errors(
    loop: asyncio.AbstractEventLoop, monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """Put a filter before the loop's exception handler; return a function that removes it."""
    previous = loop.get_exception_handler()
    logged_at: float | None = None

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal logged_at
        if context.get("message") != _MESSAGE:
            if previous is None:
                loop.default_exception_handler(context)
            else:
                previous(loop, context)
            return
        now = monotonic()
        if logged_at is None or now - logged_at >= LOG_INTERVAL_S:
            logged_at = now
            _log.error(
                "cannot accept connections: %s; raise the limit of open files (ulimit -n), or lower"
                " max_connections",
                context.get("exception"),
            )

    def remove() -> None:
        if loop.get_exception_handler() is handle:
            loop.set_exception_handler(previous)

    loop.set_exception_handler(handle)
    return remove
