"""Bytes from a client: a stream cut into reads in different ways, and WebSocket frames."""

import itertools
from collections.abc import Sequence

MASKING_KEY = b"\x1f\x8b\x00\xff"
CONTINUATION, BINARY = 0x0, 0x2
RSV1 = 4


def byte_by_byte(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def cut_at(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Return `data` in pieces, some of them empty; a cut after the end counts as one at the end."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, size: int | None = None
) -> bytes:
    """Return a masked frame (RFC 6455 section 5.2); `size` overrides the announced length."""
    size = len(payload) if size is None else size
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    masked = bytes(a ^ b for a, b in zip(payload, itertools.cycle(MASKING_KEY), strict=False))
    return head + MASKING_KEY + masked
