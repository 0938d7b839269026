"""The end of a server: its clients are sent away, spread out, and what must outlive it is kept.

A session is told `reconnect` with a delay, and closed with 1012. Both are spread over the same
time, at most `drain_s`, so that neither this process nor the one its clients come back to is
overrun.
"""

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

from headrace import codes, limits
from headrace.message import Notice
from headrace.session import Session, State

if TYPE_CHECKING:
    from headrace.server.server import Server


async def say_goodbye(server: "Server") -> None:
    """Send all clients away; those that come meanwhile are turned away by `Server.refusal`."""
    sessions = list(server.hub.sessions)
    spread_s = spread_of(len(sessions), server.settings.drain_s)
    random.shuffle(sessions)
    started = server.clocks.monotonic()
    for number, session in enumerate(sessions):
        wait_s = started + spread_s * number / len(sessions) - server.clocks.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        _send_away(server, session, spread_s)


def spread_of(sessions: int, drain_s: float) -> float:
    """Return over how many seconds that many goodbyes are spread: no longer than they need."""
    return min(drain_s, sessions / limits.GOODBYES_PER_S)


async def end_connections(server: "Server") -> None:
    """Wait until all connections have ended, idle ones at once and busy ones a while."""
    for connection in list(server.connections):
        connection.shut_down()
    await _all_gone(server)
    for connection in [*server.connections, *server.turned_away]:
        connection.abort()
    await asyncio.sleep(0)  # the aborted ones are told in the next tick, or a few later over TLS
    await _all_gone(server)


async def _all_gone(server: "Server") -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limits.CLOSE_TIMEOUT_S):
            await server.all_gone()


def _send_away(server: "Server", session: Session, spread_s: float) -> None:
    if session not in server.hub.sessions:
        return
    if session.state is State.CLOSED:  # its connection is gone
        server.hub.detach(session)
        return
    delay_ms = int(random.uniform(0, spread_s) * 1000)  # noqa: S311 - jitter, not a secret
    notice = Notice({"type": "reconnect", "delay_ms": delay_ms})
    session.sink.deliver(notice, server.clocks.monotonic())
    server.hub.close(session, codes.RESTART)
