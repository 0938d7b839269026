"""Turn a request into a stream: write the response head, and replace the protocol."""

import asyncio

from headrace.api.credentials import SUBPROTOCOL
from headrace.api.responses import Response
from headrace.api.stream_requests import (
    EVENT_STREAM_HEADERS,
    read_event_stream_request,
    read_websocket_request,
    retry_field,
)
from headrace.messages.message import Encoding
from headrace.protocol.http.connection import HttpConnection
from headrace.protocol.http.events import RequestHead
from headrace.protocol.websocket.handshake import read_handshake
from headrace.server.connections.event_stream_protocol import EventStreamProtocol
from headrace.server.connections.stream_protocol import StreamProtocol
from headrace.server.connections.websocket_protocol import WebSocketProtocol
from headrace.server.context import ServerContext


def open_websocket(
    context: ServerContext, transport: asyncio.Transport, http: HttpConnection, head: RequestHead
) -> None:
    """Upgrade to a WebSocket (RFC 6455 section 4.2.2).

    Raises RequestError for a malformed handshake, and what `read_websocket_request` raises.
    """
    handshake = read_handshake(head)
    asked = read_websocket_request(context.dispatcher.context, head)
    subprotocol = SUBPROTOCOL if asked.encoding is Encoding.V1 else None
    transport.write(http.upgrade(handshake.response_headers(subprotocol)))
    websocket = WebSocketProtocol(context, transport, asked.encoding)
    _replace_protocol(context, transport, websocket)
    if asked.claims is not None:
        websocket.open(asked.claims, asked.last_id, asked.since)
        if http.trailing_data:
            websocket.data_received(http.trailing_data)
    elif asked.fault is not None:
        websocket.refuse(asked.fault)


def open_event_stream(
    context: ServerContext, transport: asyncio.Transport, http: HttpConnection, head: RequestHead
) -> None:
    """Start an event stream. Raises what `read_event_stream_request` raises."""
    asked = read_event_stream_request(context.dispatcher.context, head)
    response = context.dispatcher.with_cors(head, Response(200, EVENT_STREAM_HEADERS))
    headers = (*context.headers, *response.headers)
    response_head = http.start_response(200, headers, until_close=True)
    if head.method == "HEAD":
        transport.write(response_head)
        transport.close()
        return
    assert asked.claims is not None
    transport.write(response_head + retry_field())
    stream = EventStreamProtocol(context, transport)
    _replace_protocol(context, transport, stream)
    stream.open(asked.claims, asked.last_id, asked.since)


def _replace_protocol(
    context: ServerContext, transport: asyncio.Transport, stream: StreamProtocol
) -> None:
    context.connections.add(stream)
    transport.set_protocol(stream)
