"""Every route of the contract, in one table."""

from typing import Literal

import msgspec

from headrace import codes
from headrace.api import (
    batch,
    channels,
    demo,
    groups,
    messages,
    metrics,
    openapi,
    pages,
    poll,
    presence,
    send,
    status,
)
from headrace.api.describe import PLACES, Doc, LastId, MessageId, Parameter, Reply
from headrace.api.node import Node
from headrace.api.routing import Access, Route

_CLOSE_CODES = "\n".join(f"- {code}: {reason}" for code, reason in codes.REASONS.items())

_CONNECT = Doc(
    (
        Reply(
            101,
            "The connection is a WebSocket now. With `headrace.v1`, a token's fault is told by the"
            " close code, since a page cannot read a failed handshake.",
            media=None,
        ),
    ),
    PLACES,
    errors=(426,),
    name="connect",
    summary="A WebSocket (RFC 6455) that listens to the client's channel.",
    text=f"""
Offer the subprotocols `headrace.v1` and `headrace.token.<token>`. Each frame is then one JSON text:
first `{{"type":"open","client_id",…,"id","recovered","expires_at","ping_interval"}}`, for each
message `{{"id","data"}}`, with `"group"` when it came through one, and beside them
`{{"type":"ping"}}` in silence, `{{"type":"gap","after","before"}}` where messages were dropped, and
`{{"type":"reconnect","delay_ms"}}` before the server goes.

The client may send `{{"type":"renew","token"}}`, answered by a new `open`, and
`{{"type":"send","data","to"?,"group"?,"ref"}}`, answered by `{{"type":"sent","ref","id"}}` or an
error.

Without a subprotocol the frames are the messages' data and nothing else.

Close codes:

{_CLOSE_CODES}
""",
)

CONNECT = Route("GET", "/v1/connect", Access.CLIENT, doc=_CONNECT)
"""A WebSocket: the server upgrades the connection."""


class Event(msgspec.Struct, frozen=True):
    """An event as the browser's `EventSource` gives it: a message, or `headrace` with JSON."""

    data: str
    id: MessageId | msgspec.UnsetType = msgspec.UNSET
    event: Literal["headrace"] | msgspec.UnsetType = msgspec.UNSET


_EVENTS = Doc(
    (
        Reply(
            200,
            "Events, until either side ends them; the schema is of each.",
            Event,
            "text/event-stream",
        ),
    ),
    (
        *PLACES,
        Parameter(
            "Last-Event-ID", "As `last_id`, from a browser; it goes before.", LastId, "header"
        ),
    ),
    name="events",
    summary="Server-Sent Events of the client's channel.",
    text="""
Each message has its `id` and its `data`. Events of the type `headrace` hold JSON: `open` comes
first, then `gap`, `reconnect` and `close` as on the WebSocket. A comment is a ping.
""",
)

EVENTS = Route("GET", "/v1/events", Access.CLIENT, doc=_EVENTS)
"""An event stream: the answer's body does not end."""


def routes_of(node: Node) -> tuple[Route, ...]:
    """Return the routes that `node` has; the document leaves out the demo's."""
    routes = (
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
        *metrics.ROUTES,
        *pages.ROUTES,
    )
    return (
        *routes,
        openapi.route_of(routes, node.settings),
        *(demo.ROUTES if node.demo else ()),
    )
