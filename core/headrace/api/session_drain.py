"""Close all sessions of a hub before it stops, spread over time.

Each session gets a `reconnect` control message with a random delay, then close code 1012. Both are
spread over at most `drain_s` seconds, so that neither this process nor the one that the clients
reconnect to is overloaded.
"""

import asyncio
import random
from typing import Final

from headrace import codes
from headrace.hub.core import HubCore
from headrace.hub.session import Session, SessionState
from headrace.messages.message import ControlMessage

CLOSES_PER_S: Final = 500
"""How many sessions a drain closes per second, if `drain_s` leaves the time."""


def drain_duration(sessions: int, drain_s: float) -> float:
    """Return the number of seconds over which so many sessions are closed."""
    return min(drain_s, sessions / CLOSES_PER_S)


async def drain_sessions(core: HubCore) -> None:
    """Close the sessions that exist now; new ones must be refused meanwhile."""
    sessions = list(core.sessions)
    duration_s = drain_duration(len(sessions), core.settings.drain_s)
    random.shuffle(sessions)
    started = core.clocks.monotonic()
    for number, session in enumerate(sessions):
        wait_s = started + duration_s * number / len(sessions) - core.clocks.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)  # spreads the reconnects
        _close_for_restart(core, session, duration_s)


def _close_for_restart(core: HubCore, session: Session, duration_s: float) -> None:
    if session not in core.sessions:
        return
    if session.state is SessionState.CLOSED:  # its connection is lost already
        core.detach(session)
        return
    delay_ms = int(random.uniform(0, duration_s) * 1000)  # noqa: S311 - jitter, not a secret
    message = ControlMessage({"type": "reconnect", "delay_ms": delay_ms})
    session.sink.deliver(message, core.clocks.monotonic())
    core.close(session, codes.RESTART)
