"""Malformed and unusual requests that must be answered."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests.helpers.site import API_KEY, SECRET, Site, mint, open_site
from tests.helpers.wire import request, wire

from headrace import Hub, Request, Response, Route, Server, Settings
from headrace.api.body_stream import split_lines

BATCH = (
    b"POST /v1/send/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"Authorization: Bearer %b\r\n\r\n" % API_KEY.encode()
)
LINE = b'{"to":"ada","data":"x"}\n'
CHUNK = b"%x\r\n%b\r\n" % (len(LINE), LINE)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as opened:
        yield opened


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"zz\r\n", 400),
        (b"1" * 300, 400),
        (b"1;" + b"x" * 300 + b"\r\n", 400),
        (CHUNK + b"0\r\n" + b"X: " + b"x" * 5000, 431),
    ],
    ids=["malformed size", "long size", "long extension", "long trailer"],
)
async def test_a_malformed_batch_in_the_segment_of_its_head_is_answered(
    site: Site, body: bytes, status: int
) -> None:
    async with wire(site.port) as client, asyncio.timeout(2):
        await client.write(BATCH + body)
        response = await client.read_response()
        assert response.status == status
        assert await client.read_to_end() == b""
    async with asyncio.timeout(5):
        await site.wait_for_connections()


async def test_the_http2_preface_is_answered(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        assert (await client.read_response()).status == 505


async def test_every_response_has_nosniff(site: Site) -> None:
    for path in ("/healthz", "/none", "/v1/poll", "/openapi.json", "/headrace.js"):
        async with wire(site.port) as client:
            response = await client.fetch("GET", path)
            assert response.headers["x-content-type-options"] == "nosniff"


async def test_the_retry_field_is_in_the_block_of_open(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(request("GET", f"/v1/events?token={mint()}"))
        assert b"x-content-type-options: nosniff" in await client.read_head()
        events = await client.read_some()
        assert events.startswith(b"retry: ")
        block = events.partition(b"\n\n")[0]
        assert b"\nevent: headrace\n" in block
        assert b'"type":"open"' in block


async def test_handlers_of_an_application_run_in_a_task() -> None:
    async def handler(request: Request) -> Response:
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return Response(200, (), b"done")

    hub = Hub(Settings(port=0, secrets=(SECRET,), drain_s=0))
    async with (
        hub,
        Server(hub, routes=[Route("GET", "/own", handler)]) as server,
        aiohttp.ClientSession() as http,
        http.get(f"{server.url}/own") as response,
    ):
        assert (response.status, await response.read()) == (200, b"done")


async def test_a_line_in_tiny_pieces_is_read_in_linear_time() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(16_384):
            yield b"x" * 64

    started = time.process_time()
    lines = [found async for found in split_lines(pieces(), 2 * 1024 * 1024)]
    assert [len(line or b"") for line in lines[0]] == [1024 * 1024]
    assert time.process_time() - started < 0.5  # 0.9 s and more if the line is copied each time


async def test_a_send_to_very_many_clients_is_refused(site: Site) -> None:
    status, problem, _ = await site.post("/v1/send", {"to": ["a"] * 10_001, "data": "x"})
    assert status == 400
    assert "10000" in problem["detail"]
