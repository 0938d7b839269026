"""Bytes as a peer sends them: cut into reads in any way, and a WebSocket client's frames."""

import itertools
from collections.abc import Sequence

KEY = b"\x1f\x8b\x00\xff"
CONTINUATION, BINARY = 0x0, 0x2
RSV1 = 4


def byte_by_byte(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def cut_at(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The same bytes in pieces; a cut behind the end is at the end, so some may be empty."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, size: int | None = None
) -> bytes:
    """A masked frame (RFC 6455 section 5.2); `size` is what it announces, if not the truth."""
    size = len(payload) if size is None else size
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    return head + KEY + bytes(a ^ b for a, b in zip(payload, itertools.cycle(KEY), strict=False))
