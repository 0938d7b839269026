"""The bare server: the least work with which a Python server on uvloop can reach all its clients.

It keeps its transports in a list and calls `write` on each. It has no rings, IDs, history, tokens,
backpressure or anything else that a real server needs. Nearly all of the cost of a delivery here is
the kernel's, so the difference to Headrace is Headrace's own cost.

Like every server of this benchmark except Headrace, it has a second port for control: each line
that arrives there is one message to everyone. With `--joined`, lines that arrive together are
sent with one `write` per client.
"""

import asyncio
import sys
from typing import cast

import uvloop

from headrace.messages.frames import TEXT, frame

_SWITCHING_PROTOCOLS = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class ClientProtocol(asyncio.Protocol):
    """A connected client. Every GET request is answered with the upgrade to WebSocket."""

    __slots__ = ("_transport", "_transports")

    def __init__(self, transports: list[asyncio.Transport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET "):
            self._transport.write(_SWITCHING_PROTOCOLS)
            self._transports.append(self._transport)


class ControlProtocol(asyncio.Protocol):
    """Sends every line to every transport, one by one or joined."""

    def __init__(self, transports: list[asyncio.Transport], *, joined: bool) -> None:
        self._transports = transports
        self._joined = joined
        self._incomplete = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._incomplete = (self._incomplete + data).split(b"\n")
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
    clients = await loop.create_server(
        lambda: ClientProtocol(transports), "127.0.0.1", 0, backlog=4096
    )
    control = await loop.create_server(
        lambda: ControlProtocol(transports, joined=joined), "127.0.0.1", 0
    )
    ports = [server.sockets[0].getsockname()[1] for server in (clients, control)]
    print("ready", *ports, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
