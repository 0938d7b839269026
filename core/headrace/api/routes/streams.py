"""The two routes that become streams: `GET /v1/connect` and `GET /v1/events`.

They have no handler: `server/connections/upgrade.py` upgrades the connection. This module describes
them for the router and for `/openapi.json`.
"""

from typing import Literal

import msgspec

from headrace import codes
from headrace.api.openapi.operation import RESUME_PARAMETERS, OperationDoc, Parameter, ResponseDoc
from headrace.api.router import Route
from headrace.messages.wire import LastId, MessageId

_CLOSE_CODES = "\n".join(f"- {code}: {reason}" for code, reason in codes.REASONS.items())

_CONNECT = OperationDoc(
    (
        ResponseDoc(
            101,
            "The connection becomes a WebSocket. With `headrace.v1`, a token fault is reported by"
            " the close code, since a page cannot read a failed handshake.",
            media=None,
        ),
    ),
    RESUME_PARAMETERS,
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

CONNECT = Route("GET", "/v1/connect", access="client", doc=_CONNECT)
"""A WebSocket."""


class Event(msgspec.Struct, frozen=True):
    """An event as the browser's `EventSource` sees it: a message, or type `headrace` with JSON."""

    data: str
    id: MessageId | msgspec.UnsetType = msgspec.UNSET
    event: Literal["headrace"] | msgspec.UnsetType = msgspec.UNSET


_EVENTS = OperationDoc(
    (
        ResponseDoc(
            200,
            "Events, until either side closes the connection; the schema is that of one event.",
            Event,
            "text/event-stream",
        ),
    ),
    (
        *RESUME_PARAMETERS,
        Parameter(
            "Last-Event-ID",
            "Same as `last_id`, from a browser; takes precedence.",
            LastId,
            "header",
        ),
    ),
    name="events",
    summary="Server-Sent Events of the client's channel.",
    text="""
Each message has its `id` and its `data`. Events of the type `headrace` hold JSON: `open` comes
first, then `gap`, `reconnect` and `close` as on the WebSocket. A comment is a ping.
""",
)

EVENTS = Route("GET", "/v1/events", access="client", doc=_EVENTS)
"""An event stream: a response whose body does not end."""
