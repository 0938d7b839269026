"""A minimal HTTP/1.1 client connection on asyncio streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.checker.checker_client import OPEN_TIMEOUT_S, ConnectionLostError


class HttpClientConnection:
    """One connection. Requests are sent one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    def send_get(self, target: str, *headers: str) -> None:
        """Send a GET request."""
        lines = [f"GET {target} HTTP/1.1", "Host: checker.test", *headers, "", ""]
        self._writer.write("\r\n".join(lines).encode())

    async def read_head(self) -> tuple[int, dict[str, str]]:
        """Return the status and the headers of a response."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise ValueError("a response head without end") from None
        status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = dict([line.lower().split(": ", 1) for line in lines])
        return int(status_line.split(" ")[1]), headers

    async def read_body(self, headers: dict[str, str]) -> bytes:
        """Return the complete body of a response with a `Content-Length`."""
        return await self.reader.readexactly(int(headers["content-length"]))

    def close(self) -> None:
        """Close the connection normally."""
        self._writer.close()

    def abort(self) -> None:
        """Close the connection at once, without sending buffered data."""
        self._writer.transport.abort()


@asynccontextmanager
async def connect(port: int) -> AsyncIterator[HttpClientConnection]:
    """Connect to a proxy, and abort the connection at the end.

    Raises OSError or TimeoutError if connecting fails.
    """
    async with asyncio.timeout(OPEN_TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = HttpClientConnection(reader, writer)
    try:
        yield connection
    finally:
        connection.abort()


def check_status(status: int) -> None:
    """Raise ConnectionLostError for a temporary error, ValueError for an unexpected status."""
    if status == 503:
        raise ConnectionLostError("the server responded with 503")
    if status != 200:
        raise ValueError(f"the server responded with {status}")
