"""How a request becomes a stream: the answer's head is written, and another protocol takes over."""

import asyncio
from typing import TYPE_CHECKING

from headrace.api.answers import Answer
from headrace.api.auth import PROTOCOL, claims_of, place_in_query
from headrace.errors import TokenError
from headrace.message import Form
from headrace.position import parse_position
from headrace.protocol.handshake import read_handshake
from headrace.protocol.http import HttpConnection, Request
from headrace.server.events import HEADERS, EventStreamProtocol, retry_line
from headrace.server.stream import StreamProtocol
from headrace.server.websocket import WebSocketProtocol

if TYPE_CHECKING:
    from headrace.server.server import Server


def open_websocket(
    server: "Server", transport: asyncio.Transport, http: HttpConnection, request: Request
) -> None:
    """Upgrade to a WebSocket (RFC 6455 section 4.2.2).

    A client that offered `headrace.v1` is told of its token's fault by a close code, because a
    browser cannot read a failed handshake; to others the TokenError is raised. RequestError for a
    handshake or a `last_id` that is malformed.
    """
    handshake = read_handshake(request)
    subprotocol = PROTOCOL if PROTOCOL in handshake.subprotocols else None
    last_id, since = place_in_query(request, "last_id"), place_in_query(request, "since")
    claims = fault = None
    try:
        claims = claims_of(server.node, request)
    except TokenError as error:
        if subprotocol is None:
            raise
        fault = error
    transport.write(http.upgrade(handshake.answer(subprotocol)))
    socket = WebSocketProtocol(server, transport, Form.V1 if subprotocol else Form.BARE)
    _hand_over(server, transport, socket)
    if claims is not None:
        socket.open(claims, last_id, since)
        if http.trailing_data:
            socket.data_received(http.trailing_data)
    elif fault is not None:
        socket.refuse(fault)


def open_event_stream(
    server: "Server", transport: asyncio.Transport, http: HttpConnection, request: Request
) -> None:
    """Begin an event stream; a browser that comes back says its last id in a header.

    TokenError or RequestError where there is nothing to stream.
    """
    claims = claims_of(server.node, request)
    last_id, since = place_in_query(request, "last_id"), place_in_query(request, "since")
    again = request.header("last-event-id")
    if again:
        last_id = parse_position(again)
    headers = server.dispatcher.with_cors(request, Answer(200, HEADERS)).headers
    head = http.start_response(200, (server.date, *headers), until_close=True)
    if request.method == "HEAD":
        transport.write(head)
        transport.close()
        return
    transport.write(head + retry_line())
    stream = EventStreamProtocol(server, transport)
    _hand_over(server, transport, stream)
    stream.open(claims, last_id, since)


def _hand_over(server: "Server", transport: asyncio.Transport, stream: StreamProtocol) -> None:
    server.connections.add(stream)
    transport.set_protocol(stream)
