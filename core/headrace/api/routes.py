"""Every route of the contract, in one table."""

from headrace.api import channels, demo, messages, pages, send, status
from headrace.api.node import Node
from headrace.api.routing import Access, Route

CONNECT = Route("GET", "/v1/connect", Access.CLIENT)
"""A WebSocket: the server upgrades the connection."""


def routes_of(node: Node) -> tuple[Route, ...]:
    """Return the routes that `node` has."""
    return (
        CONNECT,
        *channels.ROUTES,
        *send.ROUTES,
        *messages.ROUTES,
        *status.ROUTES,
        *pages.ROUTES,
        *(demo.ROUTES if node.demo else ()),
    )
