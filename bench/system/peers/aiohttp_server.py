"""aiohttp: `send_str` to each socket in turn, with the control protocol of `bare_server.py`."""

import asyncio
import socket

import uvloop
from aiohttp import web


async def main() -> None:
    sockets: list[web.WebSocketResponse] = []

    async def client(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse(compress=False)
        await response.prepare(request)
        sockets.append(response)
        async for _ in response:
            pass
        return response

    async def control(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        async for line in reader:
            text = line[:-1].decode()
            for each in sockets:
                await each.send_str(text)

    application = web.Application()
    application.router.add_get("/", client)
    runner = web.AppRunner(application)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    await web.SockSite(runner, listener, backlog=4096).start()
    control_server = await asyncio.start_server(control, "127.0.0.1", 0)
    ports = [each.getsockname()[1] for each in (listener, control_server.sockets[0])]
    print("ready", *ports, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
