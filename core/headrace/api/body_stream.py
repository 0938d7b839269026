"""Bodies that are too long to keep: requests read, and responses written, in pieces."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

from headrace.api.responses import Headers
from headrace.errors import RequestError

BUFFER_MAX_BYTES: Final = 256 * 1024
"""A body stream that holds more than this pauses its connection."""


class StreamedResponse(NamedTuple):
    """A response whose body is made in pieces, possibly while the request is still coming."""

    status: int
    headers: Headers
    pieces: AsyncIterator[bytes]


class BodyStream:
    """A request's body as an asynchronous iterator; the connection feeds it.

    `pause` and `resume` stop and restart the connection's reading, so that at most
    `BUFFER_MAX_BYTES` and one read are buffered.
    """

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause = pause
        self._resume = resume
        self._buffer = bytearray()  # one buffer: a piece can be a single byte
        self._paused = False
        self._changed = asyncio.Event()
        self.error: RequestError | None = None
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Add the next piece."""
        self._buffer += data
        self._changed.set()
        if len(self._buffer) > BUFFER_MAX_BYTES and not self._paused:
            self._paused = True
            self._pause()

    def end(self, error: RequestError | None = None) -> None:
        """End the body. With an `error` it was cut short, and the iteration raises the error."""
        self.ended = True
        self.error = error
        self._changed.set()

    def __aiter__(self) -> "BodyStream":
        return self

    async def __anext__(self) -> bytes:
        while not self._buffer:
            if self.ended:
                if self.error is not None:
                    # A copy: the traceback of a raised error refers to this object, and would make
                    # a reference cycle with it.
                    raise RequestError(self.error.status, self.error.detail, self.error.headers)
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        piece = bytes(self._buffer)
        self._buffer.clear()
        if self._paused:
            self._paused = False
            self._resume()
        return piece


async def split_lines(
    pieces: AsyncIterator[bytes], max_bytes: int
) -> AsyncIterator[list[bytes | None]]:
    """Split a stream into lines without their ends; yield the lines that each piece completes.

    A line over `max_bytes` is yielded as None and not kept in memory. The last line needs no end.
    """
    line = bytearray()  # not ended yet; extended in place, as a piece can be very short
    too_long = False
    async for piece in pieces:
        lines: list[bytes | None] = []
        *ended, last = piece.split(b"\n")
        for part in ended:
            too_long |= len(line) + len(part) > max_bytes
            lines.append(None if too_long else bytes(line) + part)
            line.clear()
            too_long = False
        too_long |= len(line) + len(last) > max_bytes
        if too_long:
            line.clear()
        else:
            line += last
        if lines:
            yield lines
    if too_long or line:
        yield [None if too_long else bytes(line)]
