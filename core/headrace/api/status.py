"""How the server does: `/healthz` and `/readyz` for probes, `/v1/stats` for the application."""

import heapq
from typing import Annotated, Literal

import msgspec

from headrace import limits
from headrace.api.answers import Answer, json_answer
from headrace.api.auth import query_value
from headrace.api.describe import ClientId, Doc, Parameter, Reply
from headrace.api.node import Node
from headrace.api.routing import Access, Call, Route
from headrace.errors import RequestError
from headrace.version import __version__


class Lag(msgspec.Struct, frozen=True):
    """How many messages wait for one session of a client."""

    client_id: ClientId
    messages: int


class Stats(msgspec.Struct, frozen=True):
    """Sizes as they are now, counters since the start; `slowest` only where it is asked for."""

    version: str
    uptime_s: float
    sessions: int
    clients: int
    groups: int
    messages: int
    deliveries: int
    dropped: int
    slow_closed: int
    history_bytes: int
    slowest: tuple[Lag, ...] | msgspec.UnsetType = msgspec.UNSET


def stats_of(node: Node) -> Stats:
    """Return the numbers as they are now."""
    hub = node.hub
    counters = hub.counters
    return Stats(
        version=__version__,
        uptime_s=round(hub.clocks.monotonic() - node.started_at, 3),
        sessions=len(hub.sessions),
        clients=len(hub.roster.channels),
        groups=len(hub.roster.groups),
        messages=counters.messages,
        deliveries=counters.deliveries,
        dropped=counters.dropped,
        slow_closed=counters.slow_closed,
        history_bytes=hub.history.size_bytes,
    )


async def stats(call: Call) -> Answer:
    """Answer with the numbers of this process."""
    numbers = stats_of(call.node)
    asked = query_value(call.request, "slowest")
    if asked is not None:
        numbers = msgspec.structs.replace(numbers, slowest=_slowest(call.node, _count_of(asked)))
    return json_answer(numbers)


def _count_of(asked: str) -> int:
    if asked.isascii() and asked.isdigit() and len(asked) < 10:
        count = int(asked)
        if 1 <= count <= limits.SLOWEST_MAX_COUNT:
            return count
    raise RequestError(
        400, f"slowest is {asked[:20]!r}; it must be a number from 1 to {limits.SLOWEST_MAX_COUNT}"
    )


def _slowest(node: Node, count: int) -> tuple[Lag, ...]:
    """Return the sessions for which the most messages wait, and none for which none does."""
    sessions = heapq.nlargest(count, node.hub.sessions, key=lambda session: session.backlog)
    return tuple([Lag(each.client_id, each.backlog) for each in sessions if each.backlog])


class Health(msgspec.Struct, frozen=True):
    """The process is alive."""

    status: Literal["ok"]


async def health(_call: Call) -> Answer:
    """Answer that the process runs its loop."""
    return json_answer(Health("ok"))


class Readiness(msgspec.Struct, frozen=True):
    """The process takes clients."""

    status: Literal["ready"]


async def ready(call: Call) -> Answer:
    """Answer that clients may come; RequestError (503) once the server sends them away."""
    if call.node.draining:
        raise RequestError(
            503,
            "the server is shutting down; connect again",
            (("retry-after", str(limits.RETRY_AFTER_S)),),
        )
    return json_answer(Readiness("ready"))


_STATS = Doc(
    (Reply(200, "The numbers.", Stats),),
    (
        Parameter(
            "slowest",
            "Name so many of the sessions for which messages wait, the most first.",
            Annotated[int, msgspec.Meta(ge=1, le=limits.SLOWEST_MAX_COUNT)],
        ),
    ),
)
_HEALTH = Doc((Reply(200, "It does.", Health),))
_READY = Doc((Reply(200, "They may.", Readiness),), summary="Answer whether clients may come.")

ROUTES = (
    Route("GET", "/v1/stats", Access.APPLICATION, stats, doc=_STATS),
    Route("GET", "/healthz", Access.OPEN, health, doc=_HEALTH),
    Route("GET", "/readyz", Access.OPEN, ready, doc=_READY),
)
