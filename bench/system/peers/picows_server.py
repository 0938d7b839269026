"""picows: `send` on each transport in turn, with the control protocol of `bare_server.py`.

picows is not a dependency of this project. It is imported by name and subclassed with `type()`, so
that the type checker does not need it.
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
    control_server = await asyncio.start_server(control, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (clients, control_server)]
    print("ready", *ports, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
