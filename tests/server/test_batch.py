"""`POST /v1/send/batch`: a send a line, an answer a line, in order, while lines still come."""

import asyncio
import json

import pytest
from tests.server.conftest import Serve
from tests.server.kit import API_KEY, Json, Site, opened, recv, run
from tests.server.wire import Wire, request, wire

from headrace import limits

AUTHORIZED = f"Authorization: Bearer {API_KEY}"
NDJSON = "Content-Type: application/x-ndjson"
HEAD = request("POST", "/v1/send/batch", AUTHORIZED, NDJSON, "Transfer-Encoding: chunked")


def line(data: str, **target: object) -> bytes:
    return json.dumps({"data": data, **(target or {"to": "alice"})}).encode() + b"\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def read_chunk(client: Wire) -> bytes:
    """The next chunk of an answer; b"" is the last one."""
    size = b""
    while not size.endswith(b"\r\n"):
        size += await client.read_exactly(1)
    data = await client.read_exactly(int(size, 16))
    assert await client.read_exactly(2) == b"\r\n"
    return data


async def read_lines(client: Wire) -> list[Json]:
    """The rest of an answer, whose head has been read."""
    body = b""
    while data := await read_chunk(client):
        body += data
    return [json.loads(each) for each in body.splitlines()]


async def test_answers_come_in_order_and_a_bad_line_fails_alone(site: Site) -> None:
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
        line("five").rstrip(b"\n"),  # the last needs no line end
    ]
    async with site.connect(await site.channel(groups=["g"])) as client, wire(site.port) as sender:
        await opened(client)
        reply = request("POST", "/v1/send/batch", AUTHORIZED, NDJSON, body=b"".join(lines))
        await sender.write(reply)
        head = (await sender.read_head()).decode()
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert "content-type: application/x-ndjson\r\n" in head
        answers = await read_lines(sender)
        failed = {answer["line"]: answer["status"] for answer in answers if "line" in answer}
        assert failed == {2: 400, 6: 413, 8: 400, 9: 400}
        sent = [answer for answer in answers if "line" not in answer]
        assert [answer["sessions"] for answer in sent] == [1, 1, 1, 1]
        got = [await recv(client) for _ in sent]
        assert [frame["data"] for frame in got] == ["one", "two", "three", "five"]
        assert [frame["id"] for frame in got] == [answer["id"] for answer in sent]
        # In the order of the lines, the failed ones in between.
        assert [answer.get("line", 0) for answer in answers] == [0, 2, 0, 6, 0, 8, 9, 0]
        assert (await sender.ask("GET", "/healthz")).status == 200


async def test_a_line_is_answered_while_others_still_come(site: Site) -> None:
    async with site.connect(await site.channel()) as client, wire(site.port) as sender:
        await opened(client)
        await sender.write(HEAD)
        await sender.read_head()
        for number in range(3):
            whole = line(str(number))
            await sender.write(chunk(whole[:7]))
            await sender.write(chunk(whole[7:]))
            answer = json.loads(await read_chunk(sender))
            assert await recv(client) == {"id": answer["id"], "data": str(number)}
        await sender.write(b"0\r\n\r\n")
        assert await read_chunk(sender) == b""


async def test_a_long_batch_that_is_sent_whole_before_any_answer_is_read(site: Site) -> None:
    count = 20_000
    async with site.connect(await site.channel()) as client, wire(site.port) as sender:
        await opened(client)

        async def receive() -> list[str]:
            return [(await recv(client))["data"] for _ in range(count)]

        receiving = asyncio.ensure_future(receive())
        body = b"".join(line(str(number)) for number in range(count))
        await sender.write(HEAD + chunk(body) + b"0\r\n\r\n")
        await sender.read_head()
        answers = await read_lines(sender)
        assert [answer["sessions"] for answer in answers] == [1] * count
        assert await receiving == [str(number) for number in range(count)]
    assert (await site.stats())["slow_closed"] == 0


async def test_a_client_that_goes_in_the_middle(site: Site) -> None:
    async with site.connect(await site.channel()) as client:
        await opened(client)
        async with wire(site.port) as sender:
            await sender.write(HEAD + chunk(line("whole") + line("half")[:-5]))
            assert (await recv(client))["data"] == "whole"
        await site.connections_end(left=2)
        await site.send("after")
        assert (await recv(client))["data"] == "after"


async def test_a_body_that_breaks_off_breaks_off_its_answer(site: Site) -> None:
    async with wire(site.port) as sender:
        await sender.write(HEAD + chunk(line("whole")))
        await sender.read_head()
        assert json.loads(await read_chunk(sender))["sessions"] == 0
        await sender.write(b"no chunk\r\n")
        assert await sender.read_until_cut() == b""


async def test_a_body_that_stalls_is_cut(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_TIMEOUT_S", 0.3)
    site = await serve()
    async with wire(site.port) as sender:
        await sender.write(HEAD + chunk(line("x")))
        await sender.read_head()
        assert json.loads(await read_chunk(sender))["sessions"] == 0
        assert await sender.read_until_cut() == b""


async def test_a_line_too_long_fails_alone(site: Site) -> None:
    long = b" " * (limits.BODY_MAX_BYTES + 1) + b"\n"
    async with wire(site.port) as sender:
        body = line("a") + long + line("b")
        await sender.write(request("POST", "/v1/send/batch", AUTHORIZED, NDJSON, body=body))
        await sender.read_head()
        answers = await read_lines(sender)
        assert [answer.get("status", 200) for answer in answers] == [200, 413, 200]


async def test_errors_before_the_first_line(site: Site) -> None:
    cases = [
        (["Content-Type: application/x-ndjson"], b"x", 401),
        ([AUTHORIZED, "Content-Type: application/xml"], b"x", 415),
        ([AUTHORIZED, NDJSON], b"", 411),
    ]
    for headers, body, status in cases:
        async with wire(site.port) as client:
            reply = await client.ask("POST", "/v1/send/batch", *headers, body=body)
            assert reply.status == status
            assert reply.headers["content-type"] == "application/problem+json"


async def test_curl_sends_a_batch(site: Site) -> None:
    finished = await run(
        "curl", "--silent", "--fail-with-body", f"{site.url}/v1/send/batch",
        "--header", AUTHORIZED, "--header", NDJSON,
        "--data-binary", (line("one") + line("two")).decode(),
    )  # fmt: skip
    assert [json.loads(each)["sessions"] for each in finished.stdout.splitlines()] == [0, 0]
