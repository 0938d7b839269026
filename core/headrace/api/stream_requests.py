"""What a request for a stream asks for: whose messages, from which position, in which encoding.

The routes are `GET /v1/connect` (WebSocket) and `GET /v1/events` (Server-Sent Events).
"""

import random
from typing import Final, NamedTuple

from headrace.api.context import ApiContext
from headrace.api.credentials import SUBPROTOCOL, position_param, verify_client
from headrace.api.responses import Headers
from headrace.auth.tokens import Claims
from headrace.errors import TokenError
from headrace.messages.message import Encoding
from headrace.messages.position import Position, parse_position
from headrace.protocol.http.events import RequestHead

EVENT_STREAM_HEADERS: Final[Headers] = (
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),  # nginx must not buffer events
)

_RETRY_MIN_MS, _RETRY_MAX_MS = 1000, 5000


class StreamRequest(NamedTuple):
    """A valid request. `last_id` and `since` are explained at `HubCore.attach`.

    For a `headrace.v1` client with a token that is not valid, `fault` is set instead of `claims`.
    """

    encoding: Encoding
    claims: Claims | None
    fault: TokenError | None
    last_id: Position | None
    since: Position | None


def read_websocket_request(context: ApiContext, head: RequestHead) -> StreamRequest:
    """Return what a WebSocket handshake asks for.

    A client that offered `headrace.v1` gets a token fault as a close code, because a browser cannot
    read a failed handshake; for other clients TokenError is raised. Raises InputError for a
    malformed id.
    """
    is_v1 = SUBPROTOCOL in head.header_list("sec-websocket-protocol")
    last_id, since = position_param(head, "last_id"), position_param(head, "since")
    claims = fault = None
    try:
        claims = verify_client(context, head)
    except TokenError as error:
        if not is_v1:
            raise
        fault = error
    return StreamRequest(Encoding.V1 if is_v1 else Encoding.BARE, claims, fault, last_id, since)


def read_event_stream_request(context: ApiContext, head: RequestHead) -> StreamRequest:
    """Return what a request for events asks for; a browser sends its last id in a header.

    Raises TokenError, or InputError for a malformed id.
    """
    claims = verify_client(context, head)
    last_id, since = position_param(head, "last_id"), position_param(head, "since")
    last_event_id = head.header("last-event-id")
    if last_event_id:
        last_id = parse_position(last_event_id)
    return StreamRequest(Encoding.SSE, claims, None, last_id, since)


def retry_field() -> bytes:
    """Return the delay before a browser reconnects, with jitter against a thundering herd.

    It is the first line of the event that follows: some clients take an event without data for an
    empty message.
    """
    return b"retry: %d\n" % random.randint(_RETRY_MIN_MS, _RETRY_MAX_MS)  # noqa: S311 - jitter
