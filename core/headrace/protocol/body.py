"""One request's body out of a growing buffer (RFC 9112 sections 6 and 7).

h11's reader of chunks takes a bare LF behind the last chunk, and extensions without bound, so
chunks are decoded here.
"""

import re
from enum import Enum
from typing import Final, TypeAlias

from headrace import limits
from headrace.errors import RequestError


def check_length(length_bytes: int, max_bytes: int | None) -> None:
    """Raise RequestError 413 for a body over `max_bytes`; None is no limit."""
    if max_bytes is not None and length_bytes > max_bytes:
        raise RequestError(413, f"The request's body is over {max_bytes} bytes; send it in parts.")


class FixedBody:
    """A body of the length that Content-Length announced; `done` when it was read whole."""

    __slots__ = ("_left", "length")

    def __init__(self, length: int) -> None:
        self.length = length
        self._left = length

    @property
    def done(self) -> bool:
        """Whether the body was read to its end."""
        return not self._left

    def read(self, buffer: bytearray, max_bytes: int | None) -> bytes:
        """Take from `buffer` what is there of the body; raises RequestError 413."""
        check_length(self.length, max_bytes)
        if len(buffer) <= self._left:
            data = bytes(buffer)
            buffer.clear()
        else:
            data = bytes(memoryview(buffer)[: self._left])
            del buffer[: self._left]
        self._left -= len(data)
        return data


class _At(Enum):
    """Which part of the chunked coding comes next."""

    SIZE = "size"
    DATA = "data"
    DATA_END = "data end"
    TRAILER = "trailer"
    DONE = "done"


_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n",
)

_FRAMING_BYTES: Final = 16
"""Size lines per byte of data that a peer may send in the long run: `1 CRLF x CRLF` needs 5, so
only padding with extensions passes it."""


_PIECES_MAX_COUNT: Final = 64
"""Chunks that one call decodes: of tiny ones a read holds 40,000, and others wait meanwhile."""


class ChunkedBody:
    """A body in the chunked transfer coding (section 7.1); `done` after its trailers.

    Extensions and trailers are checked for their size and ignored.
    """

    __slots__ = ("_at", "_framing", "_left", "length")

    def __init__(self) -> None:
        self.length = 0  # announced so far
        self._at = _At.SIZE
        self._framing = 0
        self._left = 0

    @property
    def done(self) -> bool:
        """Whether the body and its trailers were read to their end."""
        return self._at is _At.DONE

    def read(self, buffer: bytearray, max_bytes: int | None) -> bytes:
        """Take from `buffer` what is there of the body, decoded.

        Raises RequestError: 400 malformed, 413 over `max_bytes` (None: no limit), 431 too long
        trailers. What came before a fault is returned first, and the fault raised by the next
        call; so is what comes behind `_PIECES_MAX_COUNT` chunks.
        """
        pieces: list[bytes] = []
        position = 0
        try:
            while self._at is not _At.DONE and len(pieces) < _PIECES_MAX_COUNT:
                taken = self._step(buffer, position, pieces, max_bytes)
                if not taken:
                    break
                position += taken
        except RequestError:
            if not pieces:
                raise
        finally:
            del buffer[:position]
        return b"".join(pieces)

    def _step(
        self, buffer: bytearray, position: int, pieces: list[bytes], max_bytes: int | None
    ) -> int:
        """Take the next part at `position`; return its size, or 0 when more bytes are needed."""
        if self._at is _At.SIZE:
            return self._size_line(buffer, position, max_bytes)
        if self._at is _At.DATA:
            piece = bytes(memoryview(buffer)[position : position + self._left])
            if piece:
                pieces.append(piece)
                self._left -= len(piece)
                if not self._left:
                    self._at = _At.DATA_END
            return len(piece)
        if self._at is _At.DATA_END:
            end = buffer[position : position + 2]
            if not b"\r\n".startswith(end):
                raise RequestError(400, "A chunk is longer than its size says.")
            if len(end) < 2:
                return 0
            self._at = _At.SIZE
            return 2
        return self._trailer_line(buffer, position)

    def _size_line(self, buffer: bytearray, position: int, max_bytes: int | None) -> int:
        newline = buffer.find(b"\n", position, position + limits.CHUNK_LINE_MAX_BYTES)
        if newline < 0:
            if len(buffer) - position >= limits.CHUNK_LINE_MAX_BYTES:
                raise RequestError(
                    400, f"A chunk's size line is over {limits.CHUNK_LINE_MAX_BYTES} bytes."
                )
            return 0
        match = _SIZE_LINE.fullmatch(buffer, position, newline + 1)
        if match is None:
            raise RequestError(400, "A chunk's size line is malformed.")
        size = int(match[1], 16)
        taken = newline + 1 - position
        check_length(self.length + size, max_bytes)
        framing = self._framing + taken + 2
        if framing > limits.HEAD_MAX_BYTES + _FRAMING_BYTES * (self.length + size):
            raise RequestError(400, "The chunks are mostly extensions; leave those out.")
        self._framing = framing
        self.length += size
        self._left = size
        self._at = _At.DATA if size else _At.TRAILER
        if not size:
            self._left = limits.TRAILERS_MAX_BYTES
        return taken

    def _trailer_line(self, buffer: bytearray, position: int) -> int:
        newline = buffer.find(b"\n", position, position + self._left)
        if newline < 0:
            if len(buffer) - position >= self._left:
                raise RequestError(
                    431, f"The trailers are over {limits.TRAILERS_MAX_BYTES} bytes; leave them out."
                )
            return 0
        if newline == position or buffer[newline - 1] != 0x0D:
            raise RequestError(400, "A trailer line ends with LF alone; end it with CRLF.")
        taken = newline + 1 - position
        self._left -= taken
        if taken == 2:
            self._at = _At.DONE
        return taken


BodyReader: TypeAlias = FixedBody | ChunkedBody
