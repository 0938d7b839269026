"""The embedding example of the design document and of the package's docstring, as written there.

Only the port is another one: any free one.
"""

from textwrap import dedent

import aiohttp
import msgspec
from aiohttp import ClientWebSocketResponse, WSMsgType

import headrace
from headrace import Callbacks, Hub, Server, Settings, UpdateMessage

secret = "a secret of the tests, 32 bytes+"
key = "the-key-of-the-tests-application"


async def receive_json(socket: ClientWebSocketResponse) -> dict[str, object]:
    frame = await socket.receive()
    assert frame.type is WSMsgType.TEXT
    fields: dict[str, object] = msgspec.json.decode(frame.data)
    return fields


async def test_the_example_of_the_design_document() -> None:
    greeted: list[str] = []
    received: list[UpdateMessage] = []
    hello, receive = greeted.append, received.append

    hub = Hub(Settings(secrets=(secret,), api_key=key), Callbacks(connected=hello, message=receive))
    server = Server(hub, port=0)
    async with hub, server, aiohttp.ClientSession() as http:
        channel = hub.create_channel("ada", groups=["lobby"])
        protocols = ("headrace.v1", f"headrace.token.{channel.token}")
        async with http.ws_connect(f"{server.url}/v1/connect", protocols=protocols) as socket:
            assert (await receive_json(socket))["type"] == "open"

            receipt = await hub.send("hello", to="ada")
            assert receipt.sessions == 1
            assert await receive_json(socket) == {"id": str(receipt.id), "data": "hello"}
            await hub.send("hello", group="lobby")
            assert (await receive_json(socket))["group"] == "lobby"
            await hub.send("hello", everyone=True)
            assert (await receive_json(socket))["data"] == "hello"

            await hub.join("ada", "lobby")
            await hub.leave("ada", "lobby")
            assert (await hub.send("to nobody", group="lobby")).sessions == 0
            online = await hub.presence("ada")
            assert (online.online, online.sessions) == (True, 1)

            headers = {"authorization": f"Bearer {channel.token}"}
            async with http.post(
                f"{server.url}/v1/messages", json={"data": "hi"}, headers=headers
            ) as response:
                assert response.status == 202

            await hub.disconnect("ada")
            closing = await socket.receive()
            assert (closing.type, closing.data) == (WSMsgType.CLOSE, 4003)
    assert greeted == ["ada"]
    assert received == [UpdateMessage("ada", "hi")]


async def test_the_example_in_the_package_s_docstring() -> None:
    lines = (headrace.__doc__ or "").splitlines()
    code = dedent("\n".join([line for line in lines if line.startswith("    ") or not line]))
    code = code.replace("port=8080", "port=0")
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    scope: dict[str, object] = {"secret": secret, "key": key, "hello": print, "receive": print}
    exec(f"async def example():\n{body}    return receipt", scope)
    receipt = await scope["example"]()  # type: ignore[operator]  # defined by exec
    assert receipt.sessions == 0
