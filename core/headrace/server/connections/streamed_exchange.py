"""One request whose body is read, and whose response is written, in pieces."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final

from headrace.api.body_stream import BodyStream
from headrace.api.responses import Response
from headrace.api.router import Match
from headrace.errors import RequestError
from headrace.protocol.http.connection import HttpConnection
from headrace.protocol.http.events import RequestHead
from headrace.protocol.http.states import HttpState
from headrace.server.context import ServerContext

_UNREAD_MAX_BYTES: Final = 16 * 1024 * 1024
"""Results buffered for a client that sends its whole body before it reads."""


class StreamedExchange:
    """Runs the handler of a route with `stream_body`; the connection feeds `body`.

    A client may send its whole body before it reads the response. While it sends, up to
    `_UNREAD_MAX_BYTES` of the response are buffered. Beyond that, and once the body has ended, the
    response is produced no faster than the client reads it.
    """

    def __init__(
        self, context: ServerContext, transport: asyncio.Transport, http: HttpConnection
    ) -> None:
        self.body = BodyStream(transport.pause_reading, transport.resume_reading)
        self._context = context
        self._transport = transport
        self._http = http
        self._writable = asyncio.Event()
        self._writable.set()

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        self._writable.set()

    async def run(self, match: Match, head: RequestHead) -> Response | None:
        """Write the response in pieces; return it instead if it is an ordinary one."""
        response = await self._context.dispatcher.respond(match, head, self.body)
        if isinstance(response, Response):
            return response
        if self._http.state is HttpState.REFUSED:  # malformed within the first bytes of the body
            assert self.body.error is not None
            return self._context.dispatcher.refuse(head, self.body.error)
        headers = (*self._context.headers, *response.headers)
        self._transport.write(self._http.start_response(response.status, headers))
        pieces = response.pieces
        assert isinstance(pieces, AsyncGenerator)
        async with contextlib.aclosing(pieces):
            try:
                async for piece in pieces:
                    if piece:
                        self._transport.write(self._http.send_body(piece))
                    await self._wait_writable()
            except RequestError:  # the body was cut short, so the response is too
                self._transport.abort()
                return None
        if not self._transport.is_closing():
            self._transport.write(self._http.end_response())
        return None

    async def _wait_writable(self) -> None:
        buffered_bytes = self._transport.get_write_buffer_size()
        if self.body.ended or buffered_bytes > _UNREAD_MAX_BYTES:
            await self._writable.wait()
