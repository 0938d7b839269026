"""Bodies that are too long to keep: requests read, and responses written, in pieces."""

import asyncio
from collections import deque
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
        self._pieces: deque[bytes] = deque()
        self._size_bytes = 0
        self._paused = False
        self._changed = asyncio.Event()
        self._error: RequestError | None = None
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Add the next piece."""
        self._pieces.append(data)
        self._size_bytes += len(data)
        self._changed.set()
        if self._size_bytes > BUFFER_MAX_BYTES and not self._paused:
            self._paused = True
            self._pause()

    def end(self, error: RequestError | None = None) -> None:
        """End the body. With an `error` it was cut short, and the iteration raises the error."""
        self.ended = True
        self._error = error
        self._changed.set()

    def __aiter__(self) -> "BodyStream":
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self.ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        piece = self._pieces.popleft()
        self._size_bytes -= len(piece)
        if self._paused and self._size_bytes < BUFFER_MAX_BYTES // 2:
            self._paused = False
            self._resume()
        return piece


async def split_lines(
    pieces: AsyncIterator[bytes], max_bytes: int
) -> AsyncIterator[list[bytes | None]]:
    """Split a stream into lines without their ends; yield the lines that each piece completes.

    A line over `max_bytes` is yielded as None and not kept in memory. The last line needs no end.
    """
    kept = b""
    too_long = False
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        lines: list[bytes | None] = []
        for part in [kept + first if len(kept) + len(first) <= max_bytes else None, *others]:
            fits = part is not None and len(part) <= max_bytes and not too_long
            lines.append(part if fits else None)
            too_long = False
        last = lines.pop()  # not ended yet
        too_long = last is None
        kept = last or b""
        if lines:
            yield lines
    if too_long or kept:
        yield [None if too_long else kept]
