"""Server-to-client WebSocket frames: unmasked, so one frame is the same bytes for every client.

RFC 6455 section 5.2. `wsproto`'s serialiser gives the same bytes (a test compares them at every
length class) but belongs to one connection, and these belong to all.
"""

from headrace import limits

TEXT = 0x1
CLOSE = 0x8
PING = 0x9
PONG = 0xA

_FIN = 0x80
_RSV1 = 0x40  # set on a compressed message (RFC 7692 section 6)


def frame(opcode: int, payload: bytes, *, compressed: bool = False) -> bytes:
    """Return one whole, final, unmasked frame."""
    first = _FIN | opcode | (_RSV1 if compressed else 0)
    size = len(payload)
    if size < 126:
        head = bytes((first, size))
    elif size < 65536:
        head = bytes((first, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 127)) + size.to_bytes(8, "big")
    return head + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; the reason is cut to 123 bytes at a character edge (section 5.5.1)."""
    text = reason.encode()[: limits.CLOSE_REASON_MAX_BYTES].decode(errors="ignore").encode()
    return frame(CLOSE, code.to_bytes(2, "big") + text)
