"""The adapters under real hosts: the routes that are not streams."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import msgspec
import pytest
from tests.helpers.hosts import HOSTS, StartHost, host_starter
from tests.helpers.site import API_KEY, mint
from yarl import URL

from headrace import Callbacks, codes, limits

APPLICATION_ROUTES = {"options": {"application_routes": True}}
AUTHORIZED = {"authorization": f"Bearer {API_KEY}"}


@pytest.fixture(params=HOSTS)
async def start(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StartHost]:
    """Return a function that starts a host."""
    async with host_starter(HOSTS[request.param], monkeypatch) as start:
        yield start


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def test_poll(start: StartHost, http: aiohttp.ClientSession) -> None:
    host = await start()
    token = host.token()
    await host.hub.send("1", to="alice")
    url = f"{host.url}/v1/poll?token={token}"
    async with http.get(url) as response:
        polled = await response.json()
        assert [each["data"] for each in polled["messages"]] == ["1"]
    polling = asyncio.create_task(_json(http, f"{url}&last_id={polled['last_id']}"))
    await host.wait_for_sessions(1)
    await host.hub.send("2", to="alice")
    assert [each["data"] for each in (await polling)["messages"]] == ["2"]


async def _json(http: aiohttp.ClientSession, url: str) -> dict[str, list[dict[str, str]]]:
    async with http.get(url) as response:
        polled: dict[str, list[dict[str, str]]] = await response.json()
        return polled


async def test_poll_whose_client_disconnects_is_detached(
    start: StartHost, http: aiohttp.ClientSession
) -> None:
    host = await start()
    polling = asyncio.create_task(_json(http, f"{host.url}/v1/poll?token={host.token()}"))
    await host.wait_for_sessions(1)
    polling.cancel()
    await host.wait_for_sessions(0)


async def test_update_messages(start: StartHost, http: aiohttp.ClientSession) -> None:
    received = []
    host = await start(Callbacks(message=lambda message: received.append(message.data)))
    url = f"{host.url}/v1/messages"
    headers = {"authorization": f"Bearer {host.token(send=['client:bob'])}"}
    async with http.post(url, json={"data": "hi"}, headers=headers) as response:
        assert response.status == 202
    assert received == ["hi"]
    async with http.post(url, json={"data": "hi", "to": "bob"}, headers=headers) as response:
        assert (response.status, (await response.json())["sessions"]) == (200, 0)
    async with http.post(url, json={"data": "hi"}) as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (401, 4001)


async def test_body_is_limited(start: StartHost, http: aiohttp.ClientSession) -> None:
    host = await start()
    body = b"x" * (limits.BODY_MAX_BYTES + 1)

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    headers = {"authorization": f"Bearer {host.token()}", "content-type": "application/json"}
    for data in (io.BytesIO(body), pieces()):  # with and without a Content-Length
        with suppress(aiohttp.ClientOSError):  # the host may close before it has read the body
            async with http.post(f"{host.url}/v1/messages", data=data, headers=headers) as response:
                assert response.status == 413


async def test_cors(start: StartHost, http: aiohttp.ClientSession) -> None:
    host = await start(allowed_origins=("https://ok.example",))
    url = f"{host.url}/v1/messages"
    for origin, status in (("https://ok.example", 204), ("https://evil.example", 403)):
        headers = {"origin": origin, "access-control-request-method": "POST"}
        async with http.options(url, headers=headers) as response:
            assert response.status == status
    headers = {"origin": "https://ok.example"}
    async with http.post(url, json={"data": "x"}, headers=headers) as response:
        assert response.status == 401
        assert response.headers["access-control-allow-origin"] == "https://ok.example"


async def test_scripts_and_probes(start: StartHost, http: aiohttp.ClientSession) -> None:
    host = await start()
    for path in ("/_ah/channel/jsapi", "/headrace.js"):
        async with http.get(host.url + path) as response:
            assert (response.status, response.content_type) == (200, "text/javascript")
            body, etag = await response.read(), response.headers["etag"]
            assert body
        async with http.get(host.url + path, headers={"if-none-match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")
        async with http.head(host.url + path) as response:
            assert response.headers["content-length"] == str(len(body))
    for path in ("/healthz", "/readyz"):
        async with http.get(host.url + path) as response:
            assert response.status == 200
    await host.hub.drain()
    async with http.get(f"{host.url}/readyz") as response:
        assert response.status == 503
    for path in ("/v1/poll", "/v1/events"):
        async with http.get(f"{host.url}{path}?token={mint()}") as response:
            assert response.status == 503


async def test_errors(start: StartHost, http: aiohttp.ClientSession) -> None:
    host = await start()
    for method, path, status in (
        ("GET", "/v1/connect", 426),
        ("DELETE", "/v1/poll", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/stats", 404),
        ("POST", "/v1/send", 404),
        ("GET", "/metrics", 404),
    ):
        async with http.request(method, host.url + path, headers=AUTHORIZED) as response:
            assert response.status == status, path
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect(f"{host.ws_url}/headrace.js")


async def test_application_routes(start: StartHost, http: aiohttp.ClientSession) -> None:
    host = await start(**APPLICATION_ROUTES)
    async with http.post(f"{host.url}/v1/send", json={}) as response:
        assert response.status == 401
    client_id = "a/b c"
    async with http.post(
        f"{host.url}/v1/channels", json={"client_id": client_id}, headers=AUTHORIZED
    ) as response:
        token = (await response.json())["token"]
    async with host.connect(token) as client:
        await client.recv()
        path = "/v1/groups/a%2Fb/members/a%2Fb%20c"
        url = URL(host.url + path, encoded=True)
        async with http.put(url, headers=AUTHORIZED) as response:
            assert response.status == 200
        send = {"group": "a/b", "data": "hello"}
        async with http.post(f"{host.url}/v1/send", json=send, headers=AUTHORIZED) as response:
            receipt = await response.json()
            assert receipt["sessions"] == 1
        assert msgspec.json.decode(await client.recv())["id"] == receipt["id"]
        async with http.delete(
            URL(f"{host.url}/v1/channels/a%2Fb%20c", encoded=True),
            headers=AUTHORIZED,
        ) as response:
            assert response.status == 200
        await client.wait_closed()
        assert client.close_code == codes.REVOKED_TOKEN
    async with http.get(f"{host.url}/metrics") as response:
        assert response.status == 200


async def test_batch_is_a_stream_both_ways(start: StartHost, http: aiohttp.ClientSession) -> None:
    host = await start(**APPLICATION_ROUTES)
    next_line: asyncio.Queue[bytes] = asyncio.Queue()

    async def lines() -> AsyncIterator[bytes]:
        while line := await next_line.get():
            yield line

    headers = AUTHORIZED | {"content-type": "application/x-ndjson"}
    next_line.put_nowait(b'{"to":"alice","data":"0"}\n')
    url = f"{host.url}/v1/send/batch"
    async with http.post(url, data=lines(), headers=headers) as response:
        assert response.status == 200
        assert b'"sessions":0' in await response.content.readline()
        next_line.put_nowait(b"no JSON\n")  # the answer to the first line has been read
        assert b'"status":400' in await response.content.readline()
        next_line.put_nowait(b"")
        assert await response.read() == b""


async def test_the_demo(start: StartHost, http: aiohttp.ClientSession) -> None:
    host = await start(options={"demo": True})
    async with http.get(f"{host.url}/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
    async with http.post(f"{host.url}/demo/join", json={"name": "Ada"}) as response:
        assert (await response.json())["token"]
