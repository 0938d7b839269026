"""Whose pages may connect and post, and what CORS lets them read."""

import json

import pytest
from tests.server.conftest import Serve
from tests.server.kit import API_KEY, Site, mint, open_site
from tests.server.wire import handshake, request, wire

from headrace.errors import ConfigError

HOST = "http://headrace.test"  # as `wire` says in its Host header
SHOP = "https://shop.example"
AUTHORIZED = f"Authorization: Bearer {API_KEY}"
MESSAGE = json.dumps({"data": "x", "group": "g"}).encode()


async def status_of_connect(site: Site, origin: str) -> int:
    async with wire(site.port) as client:
        lines = handshake(mint()).decode().replace("\r\n\r\n", f"\r\nOrigin: {origin}\r\n\r\n")
        await client.write(lines.encode())
        reply = await client.reply(has_body=False)
        if reply.status != 101:
            assert reply.headers["content-type"] == "application/problem+json"
        return reply.status


async def status_of_message(site: Site, origin: str) -> int:
    token = f"Authorization: Bearer {mint(send=['group:g'])}"
    async with wire(site.port) as client:
        reply = await client.ask("POST", "/v1/messages", token, f"Origin: {origin}", body=MESSAGE)
        readable = reply.headers.get("access-control-allow-origin") == origin
        assert readable is (reply.status == 200)
        return reply.status


@pytest.mark.parametrize(
    ("allowed", "origin", "may"),
    [
        ((), HOST, True),
        ((), "http://HEADRACE.test:80", True),
        ((), "http://headrace.test:81", False),
        ((), "http://headrace.test.example", False),
        ((), SHOP, False),
        ((), "null", False),
        ((), "", False),
        ((), "é", False),
        ((SHOP,), SHOP, True),
        ((SHOP,), HOST, True),
        ((SHOP,), "http://shop.example", False),
        ((SHOP,), "https://shop.example.evil.example", False),
        ((SHOP,), "null", False),
        (("*",), SHOP, True),
        (("*",), "null", True),
    ],
)
async def test_origins(serve: Serve, allowed: tuple[str, ...], origin: str, may: bool) -> None:
    site = await serve(allowed_origins=allowed)
    assert await status_of_connect(site, origin) == (101 if may else 403)
    assert await status_of_message(site, origin) == (200 if may else 403)


async def test_without_an_origin_a_token_is_enough(site: Site) -> None:
    async with wire(site.port) as client:
        await client.upgrade(mint())


async def test_preflight_of_a_client_facing_route(serve: Serve) -> None:
    site = await serve(allowed_origins=(SHOP,))
    asked = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"]
    async with wire(site.port) as client:
        reply = await client.ask("OPTIONS", "/v1/messages", f"Origin: {SHOP}", *asked)
        assert reply.status == 204
        assert reply.headers["access-control-allow-origin"] == SHOP
        assert reply.headers["vary"] == "origin"
        assert "POST" in reply.headers["access-control-allow-methods"]
        allowed = reply.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "content-type", "last-event-id"} <= set(allowed)
        assert int(reply.headers["access-control-max-age"]) > 0
        refused = await client.ask(
            "OPTIONS", "/v1/messages", "Origin: https://evil.example", *asked
        )
        assert refused.status == 403
        assert "access-control-allow-origin" not in refused.headers


async def test_a_page_can_read_the_errors_of_its_own_routes(serve: Serve) -> None:
    site = await serve(allowed_origins=(SHOP,))
    async with wire(site.port) as client:
        for method, path, status in [
            ("GET", "/v1/connect?token=x", 426),
            ("GET", "/v1/events?token=x", 401),
            ("GET", "/v1/poll?token=x", 401),
            ("GET", "/v1/messages", 405),
        ]:
            reply = await client.ask(method, path, f"Origin: {SHOP}")
            assert reply.status == status
            assert reply.headers["access-control-allow-origin"] == SHOP
            assert reply.headers["access-control-expose-headers"] == "retry-after"


@pytest.mark.parametrize("origin", [HOST, SHOP])
async def test_the_applications_routes_are_not_for_pages(serve: Serve, origin: str) -> None:
    site = await serve(allowed_origins=("*",))
    for method, path, key in [
        ("OPTIONS", "/v1/send", None),
        ("OPTIONS", "/v1/channels", AUTHORIZED),
        ("GET", "/v1/stats", AUTHORIZED),
        ("GET", "/v1/stats", None),
        ("GET", "/v1/send", AUTHORIZED),
        ("POST", "/v1/send", AUTHORIZED),
        ("GET", "/nothing", None),
    ]:
        headers = [f"Origin: {origin}", *([key] if key else [])]
        body = b'{"data": "x", "to": "alice"}' if method == "POST" else b""
        async with wire(site.port) as client:
            await client.write(request(method, path, *headers, body=body))
            reply = await client.reply()
            assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "null", ""])
async def test_an_allowed_origin_that_is_none_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigError, match="allowed_origins"):
        async with open_site(allowed_origins=(origin,)):
            pass
