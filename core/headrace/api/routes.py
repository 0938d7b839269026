"""Every route of the contract, in one table."""

from headrace.api import (
    batch,
    channels,
    demo,
    groups,
    messages,
    pages,
    poll,
    presence,
    send,
    status,
)
from headrace.api.node import Node
from headrace.api.routing import Access, Route

CONNECT = Route("GET", "/v1/connect", Access.CLIENT)
"""A WebSocket: the server upgrades the connection."""

EVENTS = Route("GET", "/v1/events", Access.CLIENT)
"""An event stream: the answer's body does not end."""


def routes_of(node: Node) -> tuple[Route, ...]:
    """Return the routes that `node` has."""
    return (
        CONNECT,
        EVENTS,
        *poll.ROUTES,
        *channels.ROUTES,
        *send.ROUTES,
        *batch.ROUTES,
        *messages.ROUTES,
        *groups.ROUTES,
        *presence.ROUTES,
        *status.ROUTES,
        *pages.ROUTES,
        *(demo.ROUTES if node.demo else ()),
    )
