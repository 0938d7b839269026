"""One request body, read from a growing buffer (RFC 9112 sections 6 and 7).

h11's chunked reader accepts a bare LF after the last chunk and extensions of any size, so chunks
are decoded here.
"""

import re
from enum import Enum
from typing import Final, TypeAlias

from headrace import limits
from headrace.errors import RequestError

CHUNK_LINE_MAX_BYTES: Final = 256
"""A chunk's size line with its extensions (section 7.1.1); over it 400."""

TRAILERS_MAX_BYTES: Final = 4 * 1024
"""Trailer fields after a chunked body; over it 431."""

_OVERHEAD_PER_BYTE: Final = 16
"""Bytes of size lines per byte of data that a peer can send on average, after HEAD_MAX_BYTES of
them. `1 CRLF x CRLF` needs 5, so only extensions used as padding exceed it."""

_CHUNKS_PER_READ: Final = 64
"""Chunks that one call decodes. A read can hold 40,000 tiny ones, and other connections wait."""

_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n",
)


def check_length(length: int, max_bytes: int | None) -> None:
    """Raise RequestError 413 for a body over `max_bytes`; None is no limit."""
    if max_bytes is not None and length > max_bytes:
        raise RequestError(413, f"The request body is over {max_bytes} bytes; send it in parts.")


class FixedBody:
    """A body whose length Content-Length announced."""

    __slots__ = ("_remaining", "length")

    def __init__(self, length: int) -> None:
        self.length = length
        self._remaining = length

    @property
    def done(self) -> bool:
        """True if the whole body was read."""
        return not self._remaining

    def read(self, buffer: bytearray, max_bytes: int | None) -> bytes:
        """Take from `buffer` what it holds of the body.

        Raises RequestError 413 if the announced length is over `max_bytes` (None: no limit).
        """
        check_length(self.length, max_bytes)
        if len(buffer) <= self._remaining:
            data = bytes(buffer)
            buffer.clear()
        else:
            data = bytes(memoryview(buffer)[: self._remaining])
            del buffer[: self._remaining]
        self._remaining -= len(data)
        return data


class _ChunkPart(Enum):
    """The part of the chunked coding that comes next."""

    SIZE = "size"
    DATA = "data"
    DATA_END = "data end"
    TRAILER = "trailer"
    DONE = "done"


class ChunkedBody:
    """A body in the chunked transfer coding (section 7.1).

    `length` is the sum of the chunk sizes so far. The size of extensions and trailers is limited;
    their content is ignored.
    """

    __slots__ = ("_next", "_overhead", "_remaining", "length")

    def __init__(self) -> None:
        self.length = 0
        self._next = _ChunkPart.SIZE
        self._overhead = 0  # bytes of size lines and line ends
        self._remaining = 0  # of the chunk's data, or of the limit for trailers

    @property
    def done(self) -> bool:
        """True if the whole body and its trailers were read."""
        return self._next is _ChunkPart.DONE

    def read(self, buffer: bytearray, max_bytes: int | None) -> bytes:
        """Take from `buffer` what it holds of the body, at most 64 chunks, and decode it.

        Raises RequestError: 400 malformed, 413 over `max_bytes` (None: no limit), 431 trailers
        too long. Data before a fault is returned first; the next call raises the error.
        """
        pieces: list[bytes] = []
        position = 0
        try:
            while self._next is not _ChunkPart.DONE and len(pieces) < _CHUNKS_PER_READ:
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
        """Read the next part at `position`; return its size, or 0 if it needs more bytes."""
        if self._next is _ChunkPart.SIZE:
            return self._read_size_line(buffer, position, max_bytes)
        if self._next is _ChunkPart.DATA:
            piece = bytes(memoryview(buffer)[position : position + self._remaining])
            if piece:
                pieces.append(piece)
                self._remaining -= len(piece)
                if not self._remaining:
                    self._next = _ChunkPart.DATA_END
            return len(piece)
        if self._next is _ChunkPart.DATA_END:
            end = buffer[position : position + 2]
            if not b"\r\n".startswith(end):
                raise RequestError(400, "A chunk is longer than its size line says.")
            if len(end) < 2:
                return 0
            self._next = _ChunkPart.SIZE
            return 2
        return self._read_trailer_line(buffer, position)

    def _read_size_line(self, buffer: bytearray, position: int, max_bytes: int | None) -> int:
        newline = buffer.find(b"\n", position, position + CHUNK_LINE_MAX_BYTES)
        if newline < 0:
            if len(buffer) - position >= CHUNK_LINE_MAX_BYTES:
                raise RequestError(
                    400,
                    f"The size line of a chunk is over {CHUNK_LINE_MAX_BYTES} bytes;"
                    " leave out its extensions.",
                )
            return 0
        match = _SIZE_LINE.fullmatch(buffer, position, newline + 1)
        if match is None:
            raise RequestError(400, "The size line of a chunk is malformed.")
        size = int(match[1], 16)
        taken = newline + 1 - position
        check_length(self.length + size, max_bytes)
        overhead = self._overhead + taken + 2
        if overhead > limits.HEAD_MAX_BYTES + _OVERHEAD_PER_BYTE * (self.length + size):
            raise RequestError(400, "The chunks are mostly extensions; leave those out.")
        self._overhead = overhead
        self.length += size
        if size:
            self._remaining = size
            self._next = _ChunkPart.DATA
        else:
            self._remaining = TRAILERS_MAX_BYTES
            self._next = _ChunkPart.TRAILER
        return taken

    def _read_trailer_line(self, buffer: bytearray, position: int) -> int:
        newline = buffer.find(b"\n", position, position + self._remaining)
        if newline < 0:
            if len(buffer) - position >= self._remaining:
                raise RequestError(
                    431, f"The trailers are over {TRAILERS_MAX_BYTES} bytes; leave them out."
                )
            return 0
        if newline == position or buffer[newline - 1] != 0x0D:
            raise RequestError(400, "A trailer line ends with LF alone; end it with CRLF.")
        taken = newline + 1 - position
        self._remaining -= taken
        if taken == 2:
            self._next = _ChunkPart.DONE
        return taken


BodyReader: TypeAlias = FixedBody | ChunkedBody
