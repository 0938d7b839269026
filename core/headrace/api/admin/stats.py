"""`GET /v1/stats`: sizes and counters, for the application."""

import heapq
from typing import Annotated, Final

import msgspec

from headrace.api.hub import Hub
from headrace.api.openapi.operation import OperationDoc, Parameter, ResponseDoc
from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.errors import InputError
from headrace.messages.wire import SessionBacklog, Stats
from headrace.version import __version__

SLOWEST_MAX_COUNT: Final = 100
"""The most sessions that `?slowest=` lists."""


def stats_of(hub: Hub) -> Stats:
    """Return current sizes, and counters since the start."""
    core = hub.core
    return Stats(
        version=__version__,
        uptime_s=round(hub.clocks.monotonic() - hub.started_at, 3),
        sessions=len(core.sessions),
        clients=len(core.subscriptions.channels),
        groups=len(core.subscriptions.groups),
        messages=core.counters.messages,
        deliveries=core.counters.deliveries,
        dropped=core.counters.dropped,
        slow_closed=core.counters.slow_closed,
        history_bytes=core.history.size_bytes,
    )


async def stats(request: Request) -> Response:
    """Return the statistics of this process."""
    numbers = stats_of(request.hub)
    count = request.query("slowest")
    if count is not None:
        slowest = _slowest(request.hub, _parse_count(count))
        numbers = msgspec.structs.replace(numbers, slowest=slowest)
    return Response.json(numbers)


def _parse_count(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10:
        count = int(text)
        if 1 <= count <= SLOWEST_MAX_COUNT:
            return count
    raise InputError(f"slowest is {text[:20]!r}; it must be a number from 1 to {SLOWEST_MAX_COUNT}")


def _slowest(hub: Hub, count: int) -> tuple[SessionBacklog, ...]:
    """Return the sessions with the most waiting messages, without those that have none."""
    sessions = heapq.nlargest(count, hub.core.sessions, key=lambda session: session.backlog)
    return tuple(
        [SessionBacklog(each.client_id, each.backlog) for each in sessions if each.backlog]
    )


_DOC = OperationDoc(
    (ResponseDoc(200, "The statistics.", Stats),),
    (
        Parameter(
            "slowest",
            "List this many of the sessions with waiting messages, the most messages first.",
            Annotated[int, msgspec.Meta(ge=1, le=SLOWEST_MAX_COUNT)],
        ),
    ),
)

ROUTES = (Route("GET", "/v1/stats", stats, access="application", doc=_DOC),)
