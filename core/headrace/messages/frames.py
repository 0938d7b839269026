"""WebSocket frames from server to client (RFC 6455 section 5.2).

They are unmasked, so that one frame is the same bytes for every client. `wsproto` gives the same
bytes, as a test shows for every length class, but its serialiser belongs to one connection.
`messages/message.py` builds the frames of messages itself, to save calls.
"""

TEXT = 0x1
CLOSE = 0x8
PING = 0x9
PONG = 0xA

CLOSE_REASON_MAX_BYTES = 123
"""Reason in a close frame: 125 bytes of a control frame, less the code (section 5.5.1)."""

_FIN = 0x80
_RSV1 = 0x40  # set on a compressed message (RFC 7692 section 6)


def frame(opcode: int, payload: bytes, *, compressed: bool = False) -> bytes:
    """Return one complete unmasked frame with FIN set."""
    first = _FIN | opcode | (_RSV1 if compressed else 0)
    size = len(payload)
    if size < 126:
        header = bytes((first, size))
    elif size < 65536:
        header = bytes((first, 126)) + size.to_bytes(2, "big")
    else:
        header = bytes((first, 127)) + size.to_bytes(8, "big")
    return header + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; a reason over 123 bytes is cut between two characters."""
    text = reason.encode()[:CLOSE_REASON_MAX_BYTES].decode(errors="ignore").encode()
    return frame(CLOSE, code.to_bytes(2, "big") + text)
