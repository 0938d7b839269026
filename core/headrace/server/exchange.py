"""One request whose body is read, and whose answer is written, while both are under way."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from headrace import limits
from headrace.api.answers import Answer
from headrace.api.routing import Match
from headrace.api.streaming import BodyStream
from headrace.errors import RequestError
from headrace.protocol.http import HttpConnection, Request

if TYPE_CHECKING:
    from headrace.server.server import Server


class StreamedExchange:
    """Runs the handler of a route that `streams`; the connection feeds `body`.

    A client may well send its whole body before it reads any answer. While it sends, answers are
    therefore queued for it up to `limits.ANSWERS_WAITING_MAX_BYTES`; beyond that, and as soon as
    the body has ended, they are made no faster than the client reads.
    """

    def __init__(
        self, server: "Server", transport: asyncio.Transport, http: HttpConnection
    ) -> None:
        self.body = BodyStream(transport.pause_reading, transport.resume_reading)
        self._server = server
        self._transport = transport
        self._http = http
        self._writable = asyncio.Event()
        self._writable.set()

    def pause_writing(self) -> None:
        """Take note that the client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Take note that the client reads again."""
        self._writable.set()

    async def run(self, match: Match, request: Request) -> Answer | None:
        """Answer piece by piece; return the answer instead if it is none of that kind."""
        answer = await self._server.dispatcher.answer(match, request, self.body)
        if isinstance(answer, Answer):
            return answer
        headers = (self._server.date, *answer.headers)
        self._transport.write(self._http.start_response(answer.status, headers))
        pieces = answer.pieces
        assert isinstance(pieces, AsyncGenerator)
        async with contextlib.aclosing(pieces):
            try:
                async for piece in pieces:
                    if piece:
                        self._transport.write(self._http.send_body(piece))
                    await self._wait()
            except RequestError:  # the body was cut short: so is the answer
                self._transport.abort()
                return None
        if not self._transport.is_closing():
            self._transport.write(self._http.end_response())
        return None

    async def _wait(self) -> None:
        waiting = self._transport.get_write_buffer_size()
        if self.body.ended or waiting > limits.ANSWERS_WAITING_MAX_BYTES:
            await self._writable.wait()
