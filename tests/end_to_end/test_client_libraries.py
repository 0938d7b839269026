"""WebSocket clients of other libraries, with the token in each of its places; curl."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.site import API_KEY, V1, Site, mint, opened, recv, run
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from headrace import limits

Receive = Callable[[], Awaitable[str]]
Client = Callable[[str, list[str], dict[str, str]], AbstractAsyncContextManager[Receive]]

NODE_CLIENT = Path(__file__).parents[1] / "helpers" / "ws_client.mjs"

PAYLOADS = {
    "ascii": "hello",
    "empty": "",
    "unicode": 'žluťoučký 🐎 \u2028 "\\/\x00\x1f\x7f\r\n',
    "longest ascii": "x" * 32768,
    "longest of two bytes": "é" * 16384,
    "longest of four bytes": "🐎" * 8192,
}


@asynccontextmanager
async def with_websockets(
    url: str, protocols: list[str], headers: dict[str, str]
) -> AsyncIterator[Receive]:
    subprotocols = [Subprotocol(name) for name in protocols] or None
    async with connect(
        url, subprotocols=subprotocols, additional_headers=headers, proxy=None, max_size=None
    ) as client:

        async def receive() -> str:
            frame = await client.recv()
            assert isinstance(frame, str)
            return frame

        yield receive


@asynccontextmanager
async def with_aiohttp(
    url: str, protocols: list[str], headers: dict[str, str]
) -> AsyncIterator[Receive]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=protocols, headers=headers) as client,
    ):
        yield client.receive_str


@asynccontextmanager
async def with_node(
    url: str, protocols: list[str], headers: dict[str, str]
) -> AsyncIterator[Receive]:
    options = json.dumps({"url": url, "protocols": protocols, "headers": headers})
    node = await asyncio.create_subprocess_exec(
        "node",
        str(NODE_CLIENT),
        options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert node.stdin is not None
    assert node.stdout is not None
    lines = node.stdout

    async def read_event() -> Any:
        return json.loads(await lines.readline())

    async def receive() -> str:
        text: str = (await read_event())["text"]
        return text

    try:
        assert await read_event() == {"open": V1 if protocols else ""}
        yield receive
    finally:
        node.stdin.close()
        last = await read_event()
        await node.wait()
    assert last == {"close": 1000, "reason": ""}


CLIENTS: dict[str, Client] = {
    "websockets": with_websockets,
    "aiohttp": with_aiohttp,
    "node-ws": with_node,
}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Client:
    return CLIENTS[request.param]


@pytest.mark.parametrize("place", ["subprotocol", "bearer", "query", "bearer with v1"])
async def test_token_in_every_place(site: Site, client: Client, place: str) -> None:
    token = await site.channel("al/ice +ž")
    url = f"{site.ws_url}/v1/connect"
    protocols: list[str] = []
    headers = {}
    if place == "query":
        url += f"?token={token}"
    elif place == "subprotocol":
        protocols = [V1, f"headrace.token.{token}"]
    else:
        headers["Authorization"] = f"Bearer {token}"
        if place == "bearer with v1":
            protocols = [V1]
    async with client(url, protocols, headers) as receive:
        if protocols:
            assert json.loads(await receive())["type"] == "open"
        receipts = {name: await site.send(data, to="al/ice +ž") for name, data in PAYLOADS.items()}
        assert {receipt["sessions"] for receipt in receipts.values()} == {1}
        for name, data in PAYLOADS.items():
            frame = await receive()
            if protocols:
                assert json.loads(frame) == {"id": receipts[name]["id"], "data": data}
            else:
                assert frame == data


@pytest.mark.parametrize("data", ["x" * 32769, "é" * 16385, "🐎" * 8192 + "x"])
async def test_message_over_the_limit_is_not_sent(site: Site, data: str) -> None:
    async with site.connect_bare(await site.channel()) as client:
        status, problem, headers = await site.post("/v1/send", {"to": "alice", "data": data})
        assert status == 413
        assert headers["content-type"] == "application/problem+json"
        assert "32768" in problem["detail"]
        await site.send("the next one")
        assert await client.recv() == "the next one"
    assert (await site.stats())["messages"] == 1


async def test_curl_sends(site: Site) -> None:
    async with site.connect_bare(await site.channel()) as client:
        finished = await run(
            "curl",
            "--silent",
            "--fail-with-body",
            f"{site.url}/v1/send",
            "--header",
            f"Authorization: Bearer {API_KEY}",
            "--header",
            "Content-Type: application/json; charset=utf-8",
            "--data",
            '{"to": "alice", "data": "žluť 🐎"}',
        )
        assert finished.returncode == 0, finished.stdout
        assert json.loads(finished.stdout)["sessions"] == 1
        assert await client.recv() == "žluť 🐎"


@pytest.mark.parametrize("place", ["subprotocol", "bearer", "query"])
async def test_longest_token_in_every_place(site: Site, client: Client, place: str) -> None:
    groups = [f"{number:03d} {'g' * 28}" for number in range(119)]
    token = await site.channel("c" * 256, groups=groups)
    assert limits.TOKEN_MAX_BYTES - 100 < len(token) <= limits.TOKEN_MAX_BYTES
    url = f"{site.ws_url}/v1/connect"
    protocols: list[str] = []
    headers = {}
    if place == "query":
        url += f"?token={token}"
    elif place == "subprotocol":
        protocols = [V1, f"headrace.token.{token}"]
    else:
        headers["Authorization"] = f"Bearer {token}"
    async with client(url, protocols, headers) as receive:
        if protocols:
            assert json.loads(await receive())["type"] == "open"
        assert (await site.send("x", group=groups[-1]))["sessions"] == 1
        assert await receive()


async def test_burst_of_connections_does_not_stop_delivery(site: Site) -> None:
    async with AsyncExitStack() as stack, site.connect(await site.channel("reader")) as reader:
        await opened(reader)

        async def join(number: int) -> ClientConnection:
            client = await stack.enter_async_context(site.connect(mint(f"client {number}")))
            assert (await opened(client))["client_id"] == f"client {number}"
            return client

        joining = asyncio.gather(*[join(number) for number in range(200)])
        while not joining.done():
            sent = await site.send("during the burst", to="reader")
            assert (await recv(reader))["id"] == sent["id"]
        clients = await joining
        assert (await site.send("to all", everyone=True))["sessions"] == 201
        assert [(await recv(client))["data"] for client in clients] == ["to all"] * 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0"])
async def test_url_of_each_host(serve: Serve, host: str) -> None:
    site = await serve(host=host)
    assert site.url.startswith("http://127.0.0.1:" if host == "127.0.0.1" else "http://localhost:")
    async with site.connect(mint()) as client:
        await opened(client)
        assert (await site.send("x"))["sessions"] == 1
