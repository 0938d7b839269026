"""Every error response is a problem document (RFC 9457) with the documented status."""

import asyncio
import json
from typing import Any

import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.constants import set_server_constant
from tests.helpers.site import API_KEY, Site, mint, opened, run
from tests.helpers.wire import KEY, RawResponse, request, wire
from websockets.exceptions import InvalidStatus

from headrace import limits

AUTHORIZED = f"Authorization: Bearer {API_KEY}"
JSON = "Content-Type: application/json"
SEND = b'{"to": "alice", "data": "x"}'


def check_problem(response: RawResponse, status: int) -> str:
    """Check that a response is a problem document of `status`; return its detail."""
    assert response.status == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert list(problem)[:4] == ["type", "title", "status", "detail"]
    assert problem["status"] == status
    assert problem["title"]
    detail: str = problem["detail"]
    assert detail
    return detail


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/send", "{", "truncated"),
        ("/v1/send", "[]", "array"),
        ("/v1/send", '{"to": "a", "data": "\udc80"}', "body"),
        ("/v1/send", '{"to": "a", "data": "\\ud800"}', "body"),
        ("/v1/send", {"to": "a"}, "data"),
        ("/v1/send", {"data": "x"}, "target"),
        ("/v1/send", {"data": "x", "to": []}, "target"),
        ("/v1/send", {"data": "x", "everyone": False}, "target"),
        ("/v1/send", {"data": "x", "to": "a", "group": "g"}, "target"),
        ("/v1/send", {"data": "x", "to": "a", "everyone": True}, "target"),
        ("/v1/send", {"data": "x", "group": "g", "everyone": True}, "target"),
        ("/v1/send", {"data": "x", "to": "a", "colour": "red"}, "colour"),
        ("/v1/send", {"data": 7, "to": "a"}, "data"),
        ("/v1/send", {"data": "x", "to": ""}, "client ID"),
        ("/v1/send", {"data": "x", "to": ["a", ""]}, "client ID"),
        ("/v1/send", {"data": "x", "to": "a" * 257}, "256"),
        ("/v1/send", {"data": "x", "to": "é" * 129}, "256"),
        ("/v1/send", {"data": "x", "group": ""}, "group"),
        ("/v1/send", {"data": "x", "group": "g" * 257}, "256"),
        ("/v1/channels", {}, "client_id"),
        ("/v1/channels", {"client_id": ""}, "client ID"),
        ("/v1/channels", {"client_id": "a" * 257}, "256"),
        ("/v1/channels", {"client_id": "a", "duration_minutes": 0}, "1440"),
        ("/v1/channels", {"client_id": "a", "duration_minutes": 1441}, "1440"),
        ("/v1/channels", {"client_id": "a", "duration_minutes": "7"}, "duration_minutes"),
        ("/v1/channels", {"client_id": "a", "groups": ["g"] * 129}, "128"),
        ("/v1/channels", {"client_id": "a", "groups": [""]}, "group name"),
    ],
)
async def test_400(site: Site, path: str, body: Any, expected: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    async with wire(site.port) as client:
        response = await client.fetch(
            "POST", path, AUTHORIZED, JSON, body=text.encode(errors="surrogateescape")
        )
        assert expected in check_problem(response, 400)
        # A well-formed request that is refused leaves the connection usable.
        assert (await client.fetch("GET", "/healthz")).status == 200
    assert (await site.stats())["messages"] == 0


async def test_longest_client_id(site: Site) -> None:
    for client_id in ("a" * 256, "é" * 128, "🐎" * 64):
        async with site.connect(await site.channel(client_id)) as client:
            assert (await opened(client))["client_id"] == client_id
            assert (await site.send("x", to=client_id))["sessions"] == 1


@pytest.mark.parametrize("last_id", ["x", "1", "1-", "-1-0", "1-0-0", "%D9%A1-0", f"{2**64}-0"])
async def test_400_for_a_malformed_id(site: Site, last_id: str) -> None:
    for query in (f"?last_id={last_id}", f"?since={last_id}"):
        with pytest.raises(InvalidStatus) as caught:
            await site.connect(mint(), query)
        assert caught.value.response.status_code == 400


@pytest.mark.parametrize(
    "credentials",
    [None, "", "Bearer", "Bearer ", f"Bearer {API_KEY}x", f"Basic {API_KEY}", "Bearer é", API_KEY],
)
@pytest.mark.parametrize("route", ["POST /v1/send", "POST /v1/channels", "GET /v1/stats"])
async def test_401_without_the_api_key(site: Site, credentials: str | None, route: str) -> None:
    method, path = route.split()
    headers = [] if credentials is None else [f"Authorization: {credentials}"]
    async with wire(site.port) as client:
        response = await client.fetch(method, path, *headers, JSON, body=SEND)
    check_problem(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_token_and_api_key_are_not_interchangeable(site: Site) -> None:
    token = await site.channel()
    assert (await site.post("/v1/send", {"to": "alice", "data": "x"}, key=token))[0] == 401
    body = {"group": "g", "data": "x"}
    assert (await site.post("/v1/messages", body, key=API_KEY))[0] == 401


async def test_404_and_405(site: Site) -> None:
    async with wire(site.port) as client:
        for path in ("/", "/v1", "/v1/send/", "/v1/nothing", "/V1/send", "/v1/%73end"):
            check_problem(await client.fetch("GET", path), 404)
        for method, path, allowed in [
            ("GET", "/v1/send", "POST, OPTIONS"),
            ("DELETE", "/v1/channels", "POST, OPTIONS"),
            ("POST", "/healthz", "GET, HEAD, OPTIONS"),
            ("PUT", "/v1/connect", "GET, HEAD, OPTIONS"),
            ("BREW", "/headrace.js", "GET, HEAD, OPTIONS"),
        ]:
            response = await client.fetch(method, path)
            check_problem(response, 405)
            assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (b"GET /healthz HT", "head"),
        (request("POST", "/v1/send", AUTHORIZED, "Content-Length: 9") + b"{", "body"),
    ],
)
async def test_408(serve: Serve, monkeypatch: pytest.MonkeyPatch, sent: bytes, what: str) -> None:
    set_server_constant(monkeypatch, "HEADER_TIMEOUT_S", 0.3)
    set_server_constant(monkeypatch, "BODY_TIMEOUT_S", 0.3)
    site = await serve()
    async with wire(site.port) as client:
        await client.write(sent)
        response = await client.read_response()
        assert what in check_problem(response, 408)
        assert response.headers["connection"] == "close"
        assert await client.read_to_end() == b""


async def test_connection_without_a_request_is_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_server_constant(monkeypatch, "HEADER_TIMEOUT_S", 0.3)
    set_server_constant(monkeypatch, "KEEP_ALIVE_S", 0.3)
    site = await serve()
    async with wire(site.port) as silent, wire(site.port) as idle:
        await idle.fetch("GET", "/healthz")
        assert await silent.read_to_end() == b""
        assert await idle.read_to_end() == b""


async def test_411_and_415(site: Site) -> None:
    async with wire(site.port) as client:
        check_problem(await client.fetch("POST", "/v1/send", AUTHORIZED, JSON), 411)
        for media_type in ("application/json; charset=utf-8", "APPLICATION/JSON"):
            response = await client.fetch(
                "POST", "/v1/send", AUTHORIZED, f"Content-Type: {media_type}", body=SEND
            )
            assert response.status == 200
        assert (await client.fetch("POST", "/v1/send", AUTHORIZED, body=SEND)).status == 200
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        whole = request("POST", "/v1/send", AUTHORIZED, f"Content-Type: {media_type}", body=SEND)
        async with wire(site.port) as client:
            await client.write(whole)
            assert media_type in check_problem(await client.read_response(), 415)
            assert (await client.fetch("GET", "/healthz")).status == 200
        async with wire(site.port) as client:
            await client.write(whole.removesuffix(SEND))
            response = await client.read_response()
            assert media_type in check_problem(response, 415)
            # The body is not read, so the connection cannot be used again.
            assert response.headers["connection"] == "close"


async def test_413_before_a_too_long_body_is_sent(site: Site) -> None:
    head = ["POST", "/v1/send", AUTHORIZED, JSON, f"Content-Length: {limits.BODY_MAX_BYTES + 1}"]
    for expectation in ([], ["Expect: 100-continue"]):
        async with wire(site.port) as client:
            await client.write(request(*head, *expectation))
            response = await client.read_response()
            check_problem(response, 413)
            assert response.headers["connection"] == "close"


async def test_413_for_a_too_long_chunked_body(site: Site) -> None:
    async with wire(site.port) as client:
        head = request("POST", "/v1/send", AUTHORIZED, JSON, "Transfer-Encoding: chunked")
        await client.write(head + b"100000\r\n" + b" " * 0x100000 + b"\r\n1\r\n")
        check_problem(await client.read_response(), 413)


async def test_curl_sends_no_body_without_100_continue(site: Site, tmp_path: Any) -> None:
    body = tmp_path / "body"
    options = ["--silent", "--header", AUTHORIZED, "--header", JSON, "--expect100-timeout", "60"]
    options += ["--header", "Expect: 100-continue", "--data-binary", f"@{body}"]
    options += ["--write-out", "\n%{http_code} %{size_upload}", f"{site.url}/v1/send"]

    body.write_bytes(b" " * (limits.BODY_MAX_BYTES + 1))
    finished = await run("curl", *options)
    assert finished.stdout.splitlines()[-1] == "413 0"

    body.write_bytes(SEND)
    finished = await run("curl", *options)
    assert finished.stdout.splitlines()[-1] == f"200 {len(SEND)}"


async def test_414_and_431(site: Site) -> None:
    cases = [
        (request("GET", "/healthz?" + "x" * limits.TARGET_MAX_BYTES), 414),
        (request("GET", "/healthz", f"X: {'x' * limits.HEAD_MAX_BYTES}"), 431),
        (request("GET", "/healthz", *["X: y"] * limits.HEADERS_MAX_COUNT), 431),
        (request("GET", "/healthz", *["X: y"] * (limits.HEADERS_MAX_COUNT - 1)), 200),
    ]
    for sent, status in cases:
        async with wire(site.port) as client:
            await client.write(sent)
            response = await client.read_response()
            assert response.status == status
            if status != 200:
                check_problem(response, status)
                assert await client.read_to_end() == b""


UPGRADE = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
]


@pytest.mark.parametrize(
    ("method", "headers", "status", "expected"),
    [
        ("GET", [], 426, {"upgrade": "websocket"}),
        ("GET", [UPGRADE[0], *UPGRADE[2:]], 426, {"upgrade": "websocket"}),
        (
            "GET",
            [*UPGRADE[:2], "Sec-WebSocket-Version: 8", UPGRADE[3]],
            426,
            {"upgrade": "websocket", "sec-websocket-version": "13"},
        ),
        ("GET", UPGRADE[:3], 400, {}),
        ("GET", [*UPGRADE[:3], "Sec-WebSocket-Key: short"], 400, {}),
        ("GET", [*UPGRADE, "Sec-WebSocket-Protocol: headrace.v1, headrace.v1"], 400, {}),
        ("GET", [*UPGRADE, "Sec-WebSocket-Extensions: permessage-deflate; x=1"], 400, {}),
    ],
)
async def test_426_and_malformed_handshakes(
    site: Site, method: str, headers: list[str], status: int, expected: dict[str, str]
) -> None:
    async with wire(site.port) as client:
        response = await client.fetch(method, f"/v1/connect?token={mint()}", *headers)
        check_problem(response, status)
        assert expected.items() <= response.headers.items()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32)) + b"\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: b\x00\r\n\r\n", 400),
        (b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (request("POST", "/v1/send", "Content-Length: -1"), 400),
        (request("POST", "/v1/send", "Content-Length: 1", "Content-Length: 2"), 400),
        (request("POST", "/v1/send", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
        (request("POST", "/v1/send", "Transfer-Encoding: gzip"), 501),
        (request("GET", "/healthz", "Expect: 200-ok"), 417),
        (request("POST", "/v1/send", AUTHORIZED, "Transfer-Encoding: chunked") + b"zz\r\n", 400),
    ],
)
async def test_malformed_request_gets_a_response_and_is_closed(
    site: Site, sent: bytes, status: int
) -> None:
    async with wire(site.port) as client:
        await client.write(sent + request("GET", "/healthz"))
        response = await client.read_response()
        check_problem(response, status)
        assert response.headers["connection"] == "close"
        assert await client.read_to_end() == b""


async def test_503_over_max_connections_does_not_affect_others(serve: Serve) -> None:
    site = await serve(max_connections=3)
    token = await site.channel()  # over a connection that stays open
    async with site.connect(token) as first, site.connect(token) as second:
        await opened(first)
        await opened(second)
        for _ in range(5):
            async with wire(site.port) as refused:
                await refused.write(request("GET", f"/v1/poll?token={token}"))
                response = await refused.read_response()
                check_problem(response, 503)
                assert response.headers["retry-after"] == "5"
                assert await refused.read_to_end() == b""
        assert (await site.send("still here"))["sessions"] == 2
        assert json.loads(await first.recv())["data"] == "still here"
        await first.close()
        # A place is free at once, even while the refused connections are closing.
        async with site.connect(token) as third:
            await opened(third)
            assert json.loads(await second.recv())["data"] == "still here"


async def test_refused_connections_take_no_place(serve: Serve) -> None:
    site = await serve(max_connections=2)
    async with wire(site.port) as connected:
        await connected.fetch("GET", "/healthz")
        async with wire(site.port) as leaving:
            await leaving.fetch("GET", "/healthz")
            async with wire(site.port) as refused, wire(site.port) as refused_too:
                for each in (refused, refused_too):
                    await each.write(request("GET", f"/v1/poll?token={mint()}"))
                # They read the response and keep their side open.
                check_problem(await refused.read_response(), 503)
                check_problem(await refused_too.read_response(), 503)
                leaving.write_eof()
                await leaving.read_to_end()
                async with asyncio.timeout(1), wire(site.port) as next_client:
                    assert (await next_client.fetch("GET", "/healthz")).status == 200


async def test_too_many_refused_connections_are_aborted(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_server_constant(monkeypatch, "REFUSED_MAX_COUNT", 1)
    site = await serve(max_connections=1)
    async with (
        wire(site.port) as connected,
        wire(site.port) as lingering,
        wire(site.port) as aborted,
    ):
        await connected.fetch("GET", "/healthz")
        for refused in (lingering, aborted):
            await refused.write(request("GET", f"/v1/poll?token={mint()}"))
            check_problem(await refused.read_response(), 503)
            assert await refused.read_to_end() == b""
        assert len(site.context.refused) == 1
        assert (await connected.fetch("GET", "/healthz")).status == 200
