"""picows: `send` on each transport in turn, under the control protocol of `bare.py`.

Imported by name and subclassed by `type()`, because picows is no dependency of this project, and
the type checker must not need it.
"""

import asyncio
import importlib
from typing import Any

import uvloop


async def main() -> None:
    picows = importlib.import_module("picows")
    transports: list[Any] = []

    def connected(_: Any, transport: Any) -> None:
        transports.append(transport)

    listener = type("Listener", (picows.WSListener,), {"on_ws_connected": connected})

    async def control(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        text = picows.WSMsgType.TEXT
        async for line in reader:
            for transport in transports:
                transport.send(text, line[:-1])

    clients = await picows.ws_create_server(lambda _: listener(), "127.0.0.1", 0, backlog=4096)
    lines = await asyncio.start_server(control, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (clients, lines)]
    print("ready", *ports, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
