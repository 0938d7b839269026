"""HTTP/1.1: keep-alive, pipelining, chunked bodies, HEAD, HTTP/1.0, half-closing, backpressure."""

import asyncio
import json

import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.constants import set_server_constant
from tests.helpers.site import API_KEY, Site, mint, opened, recv, run
from tests.helpers.wire import handshake, request, wire

from headrace.server.connections.stream_protocol import WRITE_HIGH_WATER_BYTES

AUTHORIZED = f"Authorization: Bearer {API_KEY}"


def send_request(data: str, *headers: str) -> bytes:
    body = json.dumps({"to": "alice", "data": data}).encode()
    return request("POST", "/v1/send", AUTHORIZED, *headers, body=body)


async def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    async with site.connect(await site.channel()) as client, wire(site.port) as sender:
        await opened(client)
        await sender.write(b"".join(send_request(str(number)) for number in range(50)))
        ids = [(await sender.read_response()).json()["id"] for _ in range(50)]
        frames = [await recv(client) for _ in range(50)]
        assert frames == [{"id": ids[number], "data": str(number)} for number in range(50)]


async def test_refused_request_does_not_stop_the_following_ones(site: Site) -> None:
    requests = [("GET", "/healthz"), ("GET", "/nothing"), ("OPTIONS", "/v1/send")]
    requests += [("GET", "/v1/send"), ("GET", "/healthz"), ("GET", "/healthz")]
    async with wire(site.port) as client:
        await client.write(b"".join(request(method, path) for method, path in requests))
        statuses = [(await client.read_response()).status for _ in requests]
        assert statuses == [200, 404, 204, 405, 200, 200]


async def test_request_byte_by_byte(site: Site) -> None:
    async with site.connect(await site.channel()) as client, wire(site.port) as sender:
        await opened(client)
        for byte in send_request("slow"):
            await sender.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await sender.read_response()).status == 200
        assert (await recv(client))["data"] == "slow"


async def test_chunked_bodies(site: Site) -> None:
    body = json.dumps({"to": "alice", "data": "žluť"}).encode()
    chunks = b"".join(b"1;extension=x\r\n%c\r\n" % byte for byte in body)
    head = request("POST", "/v1/send", AUTHORIZED, "Transfer-Encoding: chunked")
    async with site.connect(await site.channel()) as client, wire(site.port) as sender:
        await opened(client)
        for trailer in (b"", b"X-Trailer: y\r\n"):
            await sender.write(head + chunks + b"0\r\n" + trailer + b"\r\n")
            assert (await sender.read_response()).status == 200
            assert (await recv(client))["data"] == "žluť"


async def test_head_has_the_content_length_and_no_body(site: Site) -> None:
    async with wire(site.port) as client:
        for path in ("/healthz", "/headrace.js", "/nothing"):
            get = await client.fetch("GET", path)
            head = await client.fetch("HEAD", path)
            assert (head.status, head.headers) == (get.status, get.headers)
            assert int(head.headers["content-length"]) == len(get.body)


async def test_options(site: Site) -> None:
    async with wire(site.port) as client:
        assert (await client.fetch("OPTIONS", "*")).status == 204
        for path, allowed in [("/v1/send", "POST, OPTIONS"), ("/healthz", "GET, HEAD, OPTIONS")]:
            response = await client.fetch("OPTIONS", path)
            assert (response.status, response.headers["allow"]) == (204, allowed)
        assert (await client.fetch("OPTIONS", "/nothing")).status == 404


async def test_http_1_0_closes_without_keep_alive(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.read_response()).headers["connection"] == "keep-alive"
        await client.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await client.read_response()).headers["connection"] == "close"
        assert await client.read_to_end() == b""


async def test_connection_close(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(request("GET", "/healthz", "Connection: close") * 2)
        assert (await client.read_response()).headers["connection"] == "close"
        assert await client.read_to_end() == b""


async def test_client_that_closes_its_side_gets_its_responses(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(send_request("a") + send_request("b") + request("GET", "/nothing"))
        client.write_eof()
        statuses = [(await client.read_response()).status for _ in range(3)]
        assert statuses == [200, 200, 404]
        assert await client.read_to_end() == b""
    async with wire(site.port) as client:  # closed without a request
        client.write_eof()
        assert await client.read_to_end() == b""
    async with wire(site.port) as client:  # closed within a body
        await client.write(send_request("half")[:-3])
        client.write_eof()
        assert (await client.read_response()).status == 400
        assert await client.read_to_end() == b""
    assert (await site.stats())["messages"] == 2


async def test_curl_and_aiohttp_reuse_their_connection(site: Site) -> None:
    options = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{num_connects} "]
    url = f"{site.url}/healthz"
    finished = await run("curl", *options, url, "--next", *options, url)
    assert finished.stdout == "200 1 200 0 "
    for number in range(10):
        await site.send(str(number))
    assert len(site.context.connections) == 1


async def test_requests_are_not_handled_while_responses_are_not_read(
    site: Site,
) -> None:
    script = request("GET", "/headrace.js")
    async with wire(site.port) as client:
        await client.write(script)
        response_bytes = len((await client.read_response()).body) + 1000
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        writing = asyncio.ensure_future(client.write(script * 10_000))
        buffered: list[int] = []
        while len(buffered) < 50:
            await site.send("x")  # other clients are served
            buffered.append(site.largest_write_buffer())
        assert buffered[-1] > WRITE_HIGH_WATER_BYTES
        assert max(buffered) < WRITE_HIGH_WATER_BYTES + 2 * response_bytes
        writing.cancel()
        await asyncio.wait([writing])


async def test_client_that_reads_late_gets_all_responses(site: Site) -> None:
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.write(request("GET", "/headrace.js") * 100)
        await site.send("x")
        bodies = {(await client.read_response()).body for _ in range(100)}
        assert len(bodies) == 1
        assert (await client.fetch("GET", "/healthz")).status == 200


async def test_client_that_does_not_read_responses_is_aborted(serve: Serve) -> None:
    site = await serve(write_timeout_s=0.3)
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.write(request("GET", "/headrace.js") * 400)
        await client.read_response()
        await site.wait_for_connections()


async def test_upgrade_after_pipelined_requests(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(request("GET", "/healthz") * 3 + handshake(mint()))
        for _ in range(3):
            assert (await client.read_response()).status == 200
        assert (await client.read_response(has_body=False)).status == 101
        assert (await client.read_json())["type"] == "open"


@pytest.mark.parametrize("path", ["/v1/send", "/v1/messages"])
async def test_client_that_disconnects_before_the_response(site: Site, path: str) -> None:
    for _ in range(20):
        async with wire(site.port) as client:
            await client.write(send_request("x"))
    assert (await site.send("y"))["sessions"] == 0


async def test_connection_is_idle_after_a_batch(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_server_constant(monkeypatch, "KEEP_ALIVE_S", 0.3)
    site = await serve()
    batch = request(
        "POST",
        "/v1/send/batch",
        AUTHORIZED,
        "Content-Type: application/x-ndjson",
        body=b'{"to": "alice", "data": "x"}\n',
    )
    async with wire(site.port) as client:
        await client.write(batch + request("GET", "/healthz", "Connection: close"))
        assert (await client.read_to_end()).count(b"HTTP/1.1 200 OK\r\n") == 2
    async with wire(site.port) as client:
        await client.write(batch)
        assert (await client.read_to_end()).endswith(b"\r\n0\r\n\r\n")
