"""The server side of WebSocket without I/O.

`read_handshake` checks a RequestHead and returns a Handshake, whose `response_headers` go into
`HttpConnection.upgrade`. After that, pass bytes to `FrameReader.receive_data` and take the events
that it returns (Text, Ping, Pong, Close). Frames to send are made by `headrace.messages.frames`.
"""

from headrace.protocol.websocket.frame_reader import (
    Close,
    FrameReader,
    Ping,
    Pong,
    Text,
    WebSocketEvent,
)
from headrace.protocol.websocket.handshake import Handshake, is_upgrade, read_handshake

__all__ = [
    "Close",
    "FrameReader",
    "Handshake",
    "Ping",
    "Pong",
    "Text",
    "WebSocketEvent",
    "is_upgrade",
    "read_handshake",
]
