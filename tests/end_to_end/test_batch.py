"""`POST /v1/send/batch`: one send per line, one result per line, in order, as a stream."""

import asyncio
import json

import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.constants import set_server_constant
from tests.helpers.site import API_KEY, Json, Site, opened, recv, run
from tests.helpers.wire import Wire, request, wire

from headrace import limits

AUTHORIZED = f"Authorization: Bearer {API_KEY}"
NDJSON = "Content-Type: application/x-ndjson"
HEAD = request("POST", "/v1/send/batch", AUTHORIZED, NDJSON, "Transfer-Encoding: chunked")


def line(data: str, **target: object) -> bytes:
    return json.dumps({"data": data, **(target or {"to": "alice"})}).encode() + b"\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def read_chunk(client: Wire) -> bytes:
    """Return the next chunk of a response body, or b"" for the last one."""
    size = b""
    while not size.endswith(b"\r\n"):
        size += await client.read_exactly(1)
    data = await client.read_exactly(int(size, 16))
    assert await client.read_exactly(2) == b"\r\n"
    return data


async def read_lines(client: Wire) -> list[Json]:
    """Return the remaining lines of a response whose head has been read."""
    body = b""
    while data := await read_chunk(client):
        body += data
    return [json.loads(each) for each in body.splitlines()]


async def test_results_are_in_order_and_an_invalid_line_fails_alone(site: Site) -> None:
    lines = [
        line("one"),
        b"nonsense\n",
        line("two", group="g"),
        b"\n",
        b"  \r\n",
        line("x" * 32769),
        line("three", everyone=True).replace(b"\n", b"\r\n"),
        line("four", to=""),
        b"\xff\n",
        line("five").rstrip(b"\n"),  # the last line needs no line end
    ]
    async with site.connect(await site.channel(groups=["g"])) as client, wire(site.port) as sender:
        await opened(client)
        body = b"".join(lines)
        await sender.write(request("POST", "/v1/send/batch", AUTHORIZED, NDJSON, body=body))
        head = (await sender.read_head()).decode()
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert "content-type: application/x-ndjson\r\n" in head
        results = await read_lines(sender)
        failed = {result["line"]: result["status"] for result in results if "line" in result}
        assert failed == {2: 400, 6: 413, 8: 400, 9: 400}
        sent = [result for result in results if "line" not in result]
        assert [result["sessions"] for result in sent] == [1, 1, 1, 1]
        got = [await recv(client) for _ in sent]
        assert [frame["data"] for frame in got] == ["one", "two", "three", "five"]
        assert [frame["id"] for frame in got] == [result["id"] for result in sent]
        # In the order of the lines, with the failed ones between the others.
        assert [result.get("line", 0) for result in results] == [0, 2, 0, 6, 0, 8, 9, 0]
        assert (await sender.fetch("GET", "/healthz")).status == 200


async def test_results_are_sent_before_the_body_ends(site: Site) -> None:
    async with site.connect(await site.channel()) as client, wire(site.port) as sender:
        await opened(client)
        await sender.write(HEAD)
        await sender.read_head()
        for number in range(3):
            whole = line(str(number))
            await sender.write(chunk(whole[:7]))
            await sender.write(chunk(whole[7:]))
            result = json.loads(await read_chunk(sender))
            assert await recv(client) == {"id": result["id"], "data": str(number)}
        await sender.write(b"0\r\n\r\n")
        assert await read_chunk(sender) == b""


async def test_client_may_send_a_long_batch_before_it_reads(site: Site) -> None:
    count = 20_000
    async with site.connect(await site.channel()) as client, wire(site.port) as sender:
        await opened(client)

        async def receive_all() -> list[str]:
            return [(await recv(client))["data"] for _ in range(count)]

        receiving = asyncio.ensure_future(receive_all())
        body = b"".join(line(str(number)) for number in range(count))
        await sender.write(HEAD + chunk(body) + b"0\r\n\r\n")
        await sender.read_head()
        results = await read_lines(sender)
        assert [result["sessions"] for result in results] == [1] * count
        assert await receiving == [str(number) for number in range(count)]
    assert (await site.stats())["slow_closed"] == 0


async def test_client_that_disconnects_within_a_line(site: Site) -> None:
    async with site.connect(await site.channel()) as client:
        await opened(client)
        async with wire(site.port) as sender:
            await sender.write(HEAD + chunk(line("whole") + line("half")[:-5]))
            assert (await recv(client))["data"] == "whole"
        await site.wait_for_connections(2)
        await site.send("after")
        assert (await recv(client))["data"] == "after"


async def test_malformed_chunk_aborts_the_response(site: Site) -> None:
    async with wire(site.port) as sender:
        await sender.write(HEAD + chunk(line("whole")))
        await sender.read_head()
        assert json.loads(await read_chunk(sender))["sessions"] == 0
        await sender.write(b"no chunk\r\n")
        assert await sender.read_until_closed() == b""


async def test_stalled_body_is_aborted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    set_server_constant(monkeypatch, "BODY_TIMEOUT_S", 0.3)
    site = await serve()
    async with wire(site.port) as sender:
        await sender.write(HEAD + chunk(line("x")))
        await sender.read_head()
        assert json.loads(await read_chunk(sender))["sessions"] == 0
        assert await sender.read_until_closed() == b""


async def test_too_long_line_fails_alone(site: Site) -> None:
    long = b" " * (limits.BODY_MAX_BYTES + 1) + b"\n"
    async with wire(site.port) as sender:
        body = line("a") + long + line("b")
        await sender.write(request("POST", "/v1/send/batch", AUTHORIZED, NDJSON, body=body))
        await sender.read_head()
        results = await read_lines(sender)
        assert [result.get("status", 200) for result in results] == [200, 413, 200]


async def test_errors_in_the_head(site: Site) -> None:
    cases = [
        (["Content-Type: application/x-ndjson"], b"x", 401),
        ([AUTHORIZED, "Content-Type: application/xml"], b"x", 415),
        ([AUTHORIZED, NDJSON], b"", 411),
    ]
    for headers, body, status in cases:
        async with wire(site.port) as client:
            response = await client.fetch("POST", "/v1/send/batch", *headers, body=body)
            assert response.status == status
            assert response.headers["content-type"] == "application/problem+json"


async def test_curl(site: Site) -> None:
    finished = await run(
        "curl", "--silent", "--fail-with-body", f"{site.url}/v1/send/batch",
        "--header", AUTHORIZED, "--header", NDJSON,
        "--data-binary", (line("one") + line("two")).decode(),
    )  # fmt: skip
    assert [json.loads(each)["sessions"] for each in finished.stdout.splitlines()] == [0, 0]
