"""Turn a request into a stream: write the response head, and replace the protocol."""

import asyncio

from headrace.api.credentials import SUBPROTOCOL, position_param, verify_client
from headrace.api.responses import Response
from headrace.errors import TokenError
from headrace.messages.message import Encoding
from headrace.messages.position import parse_position
from headrace.protocol.http.connection import HttpConnection
from headrace.protocol.http.events import RequestHead
from headrace.protocol.websocket.handshake import read_handshake
from headrace.server.connections.event_stream_protocol import (
    HEADERS,
    EventStreamProtocol,
    retry_field,
)
from headrace.server.connections.stream_protocol import StreamProtocol
from headrace.server.connections.websocket_protocol import WebSocketProtocol
from headrace.server.context import ServerContext


def open_websocket(
    context: ServerContext, transport: asyncio.Transport, http: HttpConnection, head: RequestHead
) -> None:
    """Upgrade to a WebSocket (RFC 6455 section 4.2.2).

    A client that offered `headrace.v1` gets a token fault as a close code, because a browser cannot
    read a failed handshake; for other clients TokenError is raised. Raises RequestError for a
    malformed handshake, InputError for a malformed `last_id`.
    """
    handshake = read_handshake(head)
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in handshake.subprotocols else None
    last_id, since = position_param(head, "last_id"), position_param(head, "since")
    claims = fault = None
    try:
        claims = verify_client(context.dispatcher.context, head)
    except TokenError as error:
        if subprotocol is None:
            raise
        fault = error
    transport.write(http.upgrade(handshake.response_headers(subprotocol)))
    encoding = Encoding.V1 if subprotocol else Encoding.BARE
    websocket = WebSocketProtocol(context, transport, encoding)
    _replace_protocol(context, transport, websocket)
    if claims is not None:
        websocket.open(claims, last_id, since)
        if http.trailing_data:
            websocket.data_received(http.trailing_data)
    elif fault is not None:
        websocket.refuse(fault)


def open_event_stream(
    context: ServerContext, transport: asyncio.Transport, http: HttpConnection, head: RequestHead
) -> None:
    """Start an event stream; a reconnecting browser sends its last id in a header.

    Raises TokenError, or InputError for a malformed id.
    """
    claims = verify_client(context.dispatcher.context, head)
    last_id, since = position_param(head, "last_id"), position_param(head, "since")
    last_event_id = head.header("last-event-id")
    if last_event_id:
        last_id = parse_position(last_event_id)
    headers = context.dispatcher.with_cors(head, Response(200, HEADERS)).headers
    response_head = http.start_response(200, (context.date, *headers), until_close=True)
    if head.method == "HEAD":
        transport.write(response_head)
        transport.close()
        return
    transport.write(response_head + retry_field())
    stream = EventStreamProtocol(context, transport)
    _replace_protocol(context, transport, stream)
    stream.open(claims, last_id, since)


def _replace_protocol(
    context: ServerContext, transport: asyncio.Transport, stream: StreamProtocol
) -> None:
    context.connections.add(stream)
    transport.set_protocol(stream)
