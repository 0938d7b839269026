"""Which origins may connect and post, and which CORS headers the responses have."""

import json

import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.site import API_KEY, Site, mint, open_site
from tests.helpers.wire import handshake, request, wire

from headrace.errors import ConfigError

HOST = "http://headrace.test"  # the Host header of `wire`
SHOP = "https://shop.example"
AUTHORIZED = f"Authorization: Bearer {API_KEY}"
MESSAGE = json.dumps({"data": "x", "group": "g"}).encode()


async def status_of_connect(site: Site, origin: str) -> int:
    async with wire(site.port) as client:
        lines = handshake(mint()).decode().replace("\r\n\r\n", f"\r\nOrigin: {origin}\r\n\r\n")
        await client.write(lines.encode())
        response = await client.read_response(has_body=False)
        if response.status != 101:
            assert response.headers["content-type"] == "application/problem+json"
        return response.status


async def status_of_message(site: Site, origin: str) -> int:
    token = f"Authorization: Bearer {mint(send=['group:g'])}"
    async with wire(site.port) as client:
        response = await client.fetch(
            "POST", "/v1/messages", token, f"Origin: {origin}", body=MESSAGE
        )
        readable = response.headers.get("access-control-allow-origin") == origin
        assert readable is (response.status == 200)
        return response.status


@pytest.mark.parametrize(
    ("allowed", "origin", "is_allowed"),
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
async def test_origins(
    serve: Serve, allowed: tuple[str, ...], origin: str, is_allowed: bool
) -> None:
    site = await serve(allowed_origins=allowed)
    assert await status_of_connect(site, origin) == (101 if is_allowed else 403)
    assert await status_of_message(site, origin) == (200 if is_allowed else 403)


async def test_no_origin_header(site: Site) -> None:
    async with wire(site.port) as client:
        await client.upgrade(mint())


async def test_preflight_of_a_client_route(serve: Serve) -> None:
    site = await serve(allowed_origins=(SHOP,))
    headers = [
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type",
    ]
    async with wire(site.port) as client:
        response = await client.fetch("OPTIONS", "/v1/messages", f"Origin: {SHOP}", *headers)
        assert response.status == 204
        assert response.headers["access-control-allow-origin"] == SHOP
        assert response.headers["vary"] == "origin"
        assert "POST" in response.headers["access-control-allow-methods"]
        allowed = response.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "content-type", "last-event-id"} <= set(allowed)
        assert int(response.headers["access-control-max-age"]) > 0
        refused = await client.fetch(
            "OPTIONS", "/v1/messages", "Origin: https://evil.example", *headers
        )
        assert refused.status == 403
        assert "access-control-allow-origin" not in refused.headers


async def test_errors_of_client_routes_have_cors_headers(serve: Serve) -> None:
    site = await serve(allowed_origins=(SHOP,))
    async with wire(site.port) as client:
        for method, path, status in [
            ("GET", "/v1/connect?token=x", 426),
            ("GET", "/v1/events?token=x", 401),
            ("GET", "/v1/poll?token=x", 401),
            ("GET", "/v1/messages", 405),
        ]:
            response = await client.fetch(method, path, f"Origin: {SHOP}")
            assert response.status == status
            assert response.headers["access-control-allow-origin"] == SHOP
            assert response.headers["access-control-expose-headers"] == "retry-after"


@pytest.mark.parametrize("origin", [HOST, SHOP])
async def test_application_routes_have_no_cors_headers(serve: Serve, origin: str) -> None:
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
            response = await client.read_response()
            assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "null", ""])
async def test_invalid_allowed_origins(origin: str) -> None:
    with pytest.raises(ConfigError, match="allowed_origins"):
        async with open_site(allowed_origins=(origin,)):
            pass
