"""All routes of the contract in one table."""

from collections.abc import Iterable
from typing import Final

from headrace.api.admin import health, metrics, stats
from headrace.api.context import ApiContext
from headrace.api.openapi import document
from headrace.api.router import Route
from headrace.api.routes import (
    batch,
    channels,
    demo,
    groups,
    poll,
    presence,
    send,
    static_files,
    streams,
    update_messages,
)


def all_routes(context: ApiContext) -> tuple[Route, ...]:
    """Return the routes of one hub; the demo's are not in `/openapi.json`."""
    documented = (
        streams.CONNECT,
        streams.EVENTS,
        *poll.ROUTES,
        *channels.ROUTES,
        *send.ROUTES,
        *batch.ROUTES,
        *update_messages.ROUTES,
        *groups.ROUTES,
        *presence.ROUTES,
        *stats.ROUTES,
        *health.ROUTES,
        *metrics.ROUTES,
        *static_files.ROUTES,
    )
    return (
        *documented,
        document.route_of(documented, context.hub.settings),
        *(demo.ROUTES if context.demo else ()),
    )


def split_routes(routes: Iterable[Route]) -> tuple[tuple[Route, ...], tuple[Route, ...]]:
    """Return the routes for clients and those for `admin_listen`.

    The second are the application's routes and the open ones about the process. All others are for
    clients: scripts, the demo, and the open routes of an embedding application.
    """
    clients: list[Route] = []
    admin: list[Route] = []
    for route in routes:
        is_admin = route.access == "application" or route.path in _ADMIN_PATHS
        (admin if is_admin else clients).append(route)
    return tuple(clients), tuple(admin)


_ADMIN_PATHS: Final = (
    "/openapi.json",
    *(route.path for route in (*health.ROUTES, *metrics.ROUTES)),
)
