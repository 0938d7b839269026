"""All routes of the contract in one table."""

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
