"""HTTP on the wire: keep-alive, pipelining, chunks, HEAD, HTTP/1.0, ends and floods."""

import asyncio
import json

import pytest
from tests.server.conftest import Serve
from tests.server.kit import API_KEY, Site, mint, opened, recv, run
from tests.server.wire import handshake, request, wire

from headrace import limits

AUTHORIZED = f"Authorization: Bearer {API_KEY}"


def send_request(data: str, *headers: str) -> bytes:
    body = json.dumps({"to": "alice", "data": data}).encode()
    return request("POST", "/v1/send", AUTHORIZED, *headers, body=body)


async def test_requests_in_one_segment_are_answered_in_order(site: Site) -> None:
    async with site.connect(await site.channel()) as client, wire(site.port) as sender:
        await opened(client)
        await sender.write(b"".join(send_request(str(number)) for number in range(50)))
        ids = [(await sender.reply()).json()["id"] for _ in range(50)]
        frames = [await recv(client) for _ in range(50)]
        assert frames == [{"id": ids[number], "data": str(number)} for number in range(50)]


async def test_a_refused_request_does_not_hold_up_those_behind_it(site: Site) -> None:
    asked = [("GET", "/healthz"), ("GET", "/nothing"), ("OPTIONS", "/v1/send")]
    asked += [("GET", "/v1/send"), ("GET", "/healthz"), ("GET", "/healthz")]
    async with wire(site.port) as client:
        await client.write(b"".join(request(method, path) for method, path in asked))
        assert [(await client.reply()).status for _ in asked] == [200, 404, 204, 405, 200, 200]


async def test_a_request_that_comes_byte_by_byte(site: Site) -> None:
    async with site.connect(await site.channel()) as client, wire(site.port) as sender:
        await opened(client)
        for byte in send_request("slow"):
            await sender.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await sender.reply()).status == 200
        assert (await recv(client))["data"] == "slow"


async def test_chunked_bodies(site: Site) -> None:
    body = json.dumps({"to": "alice", "data": "žluť"}).encode()
    chunks = b"".join(b"1;extension=x\r\n%c\r\n" % byte for byte in body)
    head = request("POST", "/v1/send", AUTHORIZED, "Transfer-Encoding: chunked")
    async with site.connect(await site.channel()) as client, wire(site.port) as sender:
        await opened(client)
        for trailer in (b"", b"X-Trailer: y\r\n"):
            await sender.write(head + chunks + b"0\r\n" + trailer + b"\r\n")
            assert (await sender.reply()).status == 200
            assert (await recv(client))["data"] == "žluť"


async def test_head_tells_the_length_and_sends_no_body(site: Site) -> None:
    async with wire(site.port) as client:
        for path in ("/healthz", "/headrace.js", "/nothing"):
            whole = await client.ask("GET", path)
            head = await client.ask("HEAD", path)
            assert (head.status, head.headers) == (whole.status, whole.headers)
            assert int(head.headers["content-length"]) == len(whole.body)


async def test_options(site: Site) -> None:
    async with wire(site.port) as client:
        assert (await client.ask("OPTIONS", "*")).status == 204
        for path, allowed in [("/v1/send", "POST, OPTIONS"), ("/healthz", "GET, HEAD, OPTIONS")]:
            reply = await client.ask("OPTIONS", path)
            assert (reply.status, reply.headers["allow"]) == (204, allowed)
        assert (await client.ask("OPTIONS", "/nothing")).status == 404


async def test_http_1_0_closes_unless_asked_to_stay(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.reply()).headers["connection"] == "keep-alive"
        await client.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await client.reply()).headers["connection"] == "close"
        assert await client.read_to_end() == b""


async def test_connection_close_is_kept(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(request("GET", "/healthz", "Connection: close") * 2)
        assert (await client.reply()).headers["connection"] == "close"
        assert await client.read_to_end() == b""


async def test_a_client_that_ends_its_side_gets_its_answers_and_an_end(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(send_request("a") + send_request("b") + request("GET", "/nothing"))
        client.end()
        statuses = [(await client.reply()).status for _ in range(3)]
        assert statuses == [200, 200, 404]
        assert await client.read_to_end() == b""
    async with wire(site.port) as client:  # one that was there only to see whether we are
        client.end()
        assert await client.read_to_end() == b""
    async with wire(site.port) as client:  # one that gives up in the middle of a body
        await client.write(send_request("half")[:-3])
        client.end()
        assert (await client.reply()).status == 400
        assert await client.read_to_end() == b""
    assert (await site.stats())["messages"] == 2


async def test_curl_and_aiohttp_keep_their_connection(site: Site) -> None:
    options = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{num_connects} "]
    url = f"{site.url}/healthz"
    finished = await run("curl", *options, url, "--next", *options, url)
    assert finished.stdout == "200 1 200 0 "
    for number in range(10):
        await site.send(str(number))
    assert len(site.server.connections) == 1


async def test_a_flood_of_requests_whose_answers_nobody_reads_is_not_worked_off(
    site: Site,
) -> None:
    asked = request("GET", "/headrace.js")
    async with wire(site.port) as client:
        await client.write(asked)
        answer_bytes = len((await client.reply()).body) + 1000
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        writing = asyncio.ensure_future(client.write(asked * 10_000))
        waiting: list[int] = []
        while len(waiting) < 50:
            await site.send("x")  # others are served meanwhile
            waiting.append(
                max(c._transport.get_write_buffer_size() for c in site.server.connections)
            )
        assert waiting[-1] > limits.WRITE_HIGH_WATER_BYTES
        assert max(waiting) < limits.WRITE_HIGH_WATER_BYTES + 2 * answer_bytes
        writing.cancel()
        await asyncio.wait([writing])


async def test_a_peer_that_reads_again_gets_all_its_answers(site: Site) -> None:
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.write(request("GET", "/headrace.js") * 100)
        await site.send("x")
        bodies = {(await client.reply()).body for _ in range(100)}
        assert len(bodies) == 1
        assert (await client.ask("GET", "/healthz")).status == 200


async def test_a_peer_that_reads_no_answers_is_cut(serve: Serve) -> None:
    site = await serve(write_timeout_s=0.3)
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.write(request("GET", "/headrace.js") * 400)
        await client.reply()
        await site.connections_end()


async def test_an_upgrade_behind_requests_in_one_segment(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(request("GET", "/healthz") * 3 + handshake(mint()))
        for _ in range(3):
            assert (await client.reply()).status == 200
        assert (await client.reply(has_body=False)).status == 101
        assert (await client.json())["type"] == "open"


@pytest.mark.parametrize("path", ["/v1/send", "/v1/messages"])
async def test_a_client_that_goes_before_its_answer_disturbs_nobody(site: Site, path: str) -> None:
    for _ in range(20):
        async with wire(site.port) as client:
            await client.write(send_request("x"))
    assert (await site.send("y"))["sessions"] == 0


async def test_a_connection_that_carried_a_batch_is_idle_afterwards(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KEEP_ALIVE_S", 0.3)
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
