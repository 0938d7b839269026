"""Bodies too long to be kept: a request that is read, and an answer that is written, in pieces."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from headrace import limits
from headrace.api.answers import Headers
from headrace.errors import RequestError


class StreamedAnswer(NamedTuple):
    """An answer whose body is made piece by piece, while the request's may still be coming."""

    status: int
    headers: Headers
    pieces: AsyncIterator[bytes]


class BodyStream:
    """A request's body on its way: the connection feeds it, a handler iterates over it.

    `pause` and `resume` stop and restart the connection's reading, so that no more than
    `limits.BODY_WAITING_MAX_BYTES` and one read wait here.
    """

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause = pause
        self._resume = resume
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._fed = asyncio.Event()
        self._error: RequestError | None = None
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        self._fed.set()
        if self._waiting_bytes > limits.BODY_WAITING_MAX_BYTES and not self._paused:
            self._paused = True
            self._pause()

    def end(self, error: RequestError | None = None) -> None:
        """Take note of the body's end; with an `error` it is cut short, and the reader is told."""
        self.ended = True
        self._error = error
        self._fed.set()

    def __aiter__(self) -> "BodyStream":
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self.ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._fed.clear()
            await self._fed.wait()
        piece = self._pieces.popleft()
        self._waiting_bytes -= len(piece)
        if self._paused and self._waiting_bytes < limits.BODY_WAITING_MAX_BYTES // 2:
            self._paused = False
            self._resume()
        return piece


async def lines_of(
    pieces: AsyncIterator[bytes], max_bytes: int
) -> AsyncIterator[list[bytes | None]]:
    """Split a stream into lines without their ends: at each piece, those that it completes.

    None stands for a line over `max_bytes`; its rest is skipped, not kept. The last line needs no
    line end.
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
