"""HTTP/1.1 and WebSocket for servers, without I/O: bytes in, events out, bytes to send.

Nothing here knows a socket, an event loop or a clock, so a host that owns the socket can use it:

    headrace.protocol.http       HttpConnection: requests from bytes, responses to bytes
    headrace.protocol.websocket  read_handshake: an HTTP request that becomes a WebSocket
                                 FrameReader: a client's frames

Each object follows one contract. The caller passes bytes to `receive_data`, takes events, and sends
the bytes that methods return. A peer's fault raises RequestError or FrameError, which say how to
answer it; a call in the wrong state raises StateError. The names that these two packages export are
public; their modules are not.
"""
