"""HTTP as the clients of the checker speak it: as little as there is, on asyncio's streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.checker.client import OPEN_TIMEOUT_S, LineError


class Connection:
    """One connection; requests go one behind the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    def get(self, target: str, *headers: str) -> None:
        """Send a GET request."""
        lines = [f"GET {target} HTTP/1.1", "Host: checker.test", *headers, "", ""]
        self._writer.write("\r\n".join(lines).encode())

    async def head(self) -> tuple[int, dict[str, str]]:
        """Return status and headers of an answer."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise ValueError("an endless head") from None
        status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = dict([line.lower().split(": ", 1) for line in lines])
        return int(status_line.split(" ")[1]), headers

    async def body(self, headers: dict[str, str]) -> bytes:
        """Return an answer's body, whole."""
        return await self.reader.readexactly(int(headers["content-length"]))

    def end(self) -> None:
        """Close it in the regular way."""
        self._writer.close()

    def abort(self) -> None:
        """Drop it."""
        self._writer.transport.abort()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """Connect to a gate; LineError or OSError where that fails."""
    async with asyncio.timeout(OPEN_TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = Connection(reader, writer)
    try:
        yield connection
    finally:
        connection.abort()


def check_status(status: int) -> None:
    """Raise LineError for a refusal that passes, ValueError for one that should not be."""
    if status == 503:
        raise LineError("answered 503")
    if status != 200:
        raise ValueError(f"answered {status}")
