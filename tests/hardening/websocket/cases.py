"""The form of a case of Autobahn|Testsuite: what the client sends, and what the server replies.

The case numbers, and what each case sends and expects, are those of Autobahn|Testsuite 25.10.1
(`wstest -m fuzzingclient`). That program needs Python 2.7; `autobahn.py` runs it if it is there.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from headrace.messages import frames

MASKING_KEY: Final = b"\x1f\x8b\x00\xff"

OPCODES: Final = {
    "continuation": 0x0,
    "text": frames.TEXT,
    "binary": 0x2,
    "close": frames.CLOSE,
    "ping": frames.PING,
    "pong": frames.PONG,
}


def encode(opcode: int | str, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """Return a client's frame (RFC 6455 section 5.2).

    The mask is applied with one XOR of two big integers, because some payloads have 16 MiB.
    """
    number = OPCODES[opcode] if isinstance(opcode, str) else opcode
    size = len(payload)
    first = fin << 7 | rsv << 4 | number
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    mask = (MASKING_KEY * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + MASKING_KEY + masked.to_bytes(size, "big")


def close(code: int, reason: bytes = b"") -> bytes:
    """Return a client's close frame."""
    return encode("close", code.to_bytes(2, "big") + reason)


def fragments(opcode: str, pieces: Iterable[bytes]) -> list[bytes]:
    """Return the frames of a message in several fragments."""
    *first, last = pieces
    opcodes = itertools.chain([opcode], itertools.repeat("continuation"))
    return [
        *(encode(each, piece, fin=False) for each, piece in zip(opcodes, first, strict=False)),
        encode("continuation" if first else opcode, last),
    ]


def cut(data: bytes, size: int) -> list[bytes]:
    """Return `data` in pieces of `size` bytes: Autobahn's chops, or a message's fragments."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def repeat(pattern: bytes, size: int) -> bytes:
    """Return `size` bytes of the repeated pattern."""
    return (pattern * (size // len(pattern) + 1))[:size]


def reply(opcode: str, payload: bytes) -> bytes:
    """Return a server's frame."""
    return frames.frame(OPCODES[opcode], payload)


@dataclass(frozen=True)
class Step:
    """The client writes each of `chunks` by itself; the server must answer with `replies`."""

    chunks: tuple[bytes, ...]
    replies: bytes = b""


@dataclass(frozen=True)
class Case:
    """A test case: its steps, and then how the connection ends.

    `close_code` is that of the server's close frame. If `client_closes` the client sends a close
    frame with code 1000 after the steps; otherwise the steps make the server close.
    """

    number: str
    steps: tuple[Step, ...]
    close_code: int
    client_closes: bool


def accepted(number: str, chunks: Iterable[bytes], replies: bytes) -> Case:
    """Return a case in which the server replies, and the client then closes."""
    return Case(number, (Step(tuple(chunks), replies),), 1000, client_closes=True)


def accepted_in_steps(number: str, *steps: Step) -> Case:
    """Return a case in which the client waits for the replies of each step."""
    return Case(number, steps, 1000, client_closes=True)


def ended(number: str, chunks: Iterable[bytes], code: int, replies: bytes = b"") -> Case:
    """Return a case in which the server closes with `code` after the replies."""
    return Case(number, (Step(tuple(chunks), replies),), code, client_closes=False)
