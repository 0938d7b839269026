"""The bare loop: the least that a Python server on uvloop can do to reach all its clients.

It keeps its transports in a list and calls `write` on each: no rings, no ids, no history, no
tokens, no backpressure, nothing that a real server needs. What a delivery costs here is nearly all
the kernel's, so Headrace's own cost is what it adds to this.

As every server of this benchmark but Headrace, it has a second port for control: each line that
arrives there is one message to everyone. With `--joined` the lines that arrive together go out as
one `write` per client.
"""

import asyncio
import sys
from typing import cast

import uvloop

from headrace.frames import TEXT, frame

_SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class Client(asyncio.Protocol):
    """A connected client; any request is answered with the switch to WebSocket."""

    __slots__ = ("_transport", "_transports")

    def __init__(self, transports: list[asyncio.Transport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET "):
            self._transport.write(_SWITCH)
            self._transports.append(self._transport)


class Control(asyncio.Protocol):
    """Sends every line to every transport: line by line, or joined."""

    def __init__(self, transports: list[asyncio.Transport], *, joined: bool) -> None:
        self._transports = transports
        self._joined = joined
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        frames = [frame(TEXT, line) for line in lines]
        if self._joined:
            frames = [b"".join(frames)]
        for each in frames:
            for transport in self._transports:
                transport.write(each)


async def main() -> None:
    loop = asyncio.get_running_loop()
    transports: list[asyncio.Transport] = []
    joined = "--joined" in sys.argv
    clients = await loop.create_server(lambda: Client(transports), "127.0.0.1", 0, backlog=4096)
    control = await loop.create_server(lambda: Control(transports, joined=joined), "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (clients, control)]
    print("ready", *ports, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
