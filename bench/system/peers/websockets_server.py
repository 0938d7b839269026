"""websockets: the library's `broadcast`, with the control protocol of `bare_server.py`."""

import asyncio

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve


async def main() -> None:
    connections: set[ServerConnection] = set()

    async def client(connection: ServerConnection) -> None:
        connections.add(connection)
        await connection.wait_closed()

    async def control(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        async for line in reader:
            broadcast(connections, line[:-1].decode())

    clients = await serve(
        client, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4096
    )
    control_server = await asyncio.start_server(control, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (clients, control_server)]
    print("ready", *ports, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
