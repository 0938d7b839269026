"""Attacks on connections: all places taken by silent peers."""

import asyncio
from contextlib import AsyncExitStack

from tests.helpers.site import API_KEY, mint, open_site
from tests.helpers.wire import request, wire

AUTHORIZATION = f"Authorization: Bearer {API_KEY}"


async def test_probes_and_the_application_get_through_with_all_places_taken() -> None:
    async with open_site(max_connections=5) as site, AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(wire(site.port))
        async with asyncio.timeout(5):
            while len(site.context.reserved) < 32:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0)
        body = b'{"to":"ada","data":"x"}'
        for sent, expected in [
            (request("GET", "/healthz"), 200),
            (request("GET", "/metrics", AUTHORIZATION), 200),
            (request("POST", "/v1/send", AUTHORIZATION, body=body), 200),
            (request("GET", f"/v1/poll?token={mint()}"), 503),
        ]:
            async with wire(site.port) as probe:
                await probe.write(sent)
                response = await probe.read_response()
                assert response.status == expected
                assert response.headers["connection"] == "close"
                assert await probe.read_to_end() == b""
        assert len(site.context.connections) == 5


async def test_health_is_told_apart_from_readiness_during_a_drain() -> None:
    async with open_site(drain_s=1) as site, site.connect(mint()):
        draining = asyncio.create_task(site.server.hub.drain())
        await asyncio.sleep(0)
        for path, expected in [("/healthz", 200), ("/readyz", 503), ("/v1/connect", 503)]:
            async with wire(site.port) as probe:
                await probe.write(request("GET", path, "Upgrade: websocket"))
                assert (await probe.read_response()).status == expected
        await draining


async def test_the_second_address_serves_the_application_alone() -> None:
    async with open_site(max_connections=1, admin_listen="127.0.0.1:0") as site:
        admin_port = site.server.admin_port
        assert admin_port is not None
        for path, on_first, on_second in [
            ("/healthz", 404, 200),
            ("/metrics", 404, 200),
            ("/openapi.json", 404, 200),
            ("/v1/stats", 404, 200),
            ("/headrace.js", 200, 404),
            ("/v1/poll", 401, 404),
        ]:
            for port, expected in [(site.port, on_first), (admin_port, on_second)]:
                async with wire(port) as client:
                    await client.write(request("GET", path, AUTHORIZATION, "Connection: close"))
                    assert (await client.read_response()).status == expected, (port, path)
        async with wire(site.port), wire(admin_port) as client:  # the only place is taken
            body = b'{"to":"ada","data":"x"}'
            await client.write(request("POST", "/v1/send", AUTHORIZATION, body=body))
            assert (await client.read_response()).status == 200
