"""server/connections/tls_handshake.py: TLS connections count from their accept."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from tests.helpers.constants import set_server_constant
from tests.helpers.site import open_site
from tests.helpers.wire import request, wire


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[dict[str, Any], ssl.SSLContext]:
    """Return the settings for TLS, and a client's context."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}
    issued.cert_chain_pems[0].write_to_path(files["tls_cert"])
    issued.private_key_pem.write_to_path(files["tls_key"])
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return files, context


async def test_silent_tls_connections_count(
    certificate: tuple[dict[str, Any], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    files, context = certificate
    set_server_constant(monkeypatch, "HANDSHAKES_MAX_COUNT", 1000)
    async with open_site(max_connections=10, **files) as site, AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(wire(site.port))
        await wait_until(lambda: len(site.context.reserved) == 32)
        assert len(site.context.connections) == 10
        await wait_until(lambda: site.context.handshakes == 42)
        probe = site.http.get(f"{site.url}/healthz", ssl=context)
        async with probe as response:
            assert response.status == 200
    assert site.context.handshakes == 0


async def test_tls_handshakes_under_way_are_limited(
    certificate: tuple[dict[str, Any], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    files, context = certificate
    set_server_constant(monkeypatch, "HANDSHAKES_MAX_COUNT", 5)
    set_server_constant(monkeypatch, "HANDSHAKE_TIMEOUT_S", 1.0)
    async with open_site(**files) as site, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(wire(site.port)) for _ in range(5)]
        await wait_until(lambda: site.context.handshakes == 5)
        with pytest.raises((aiohttp.ClientError, OSError)):
            await site.http.get(f"{site.url}/healthz", ssl=context)
        async with asyncio.timeout(5):
            for each in silent:
                assert await each.read_to_end() == b""  # after the timeout of the handshake
        assert site.context.handshakes == 0
        await site.wait_for_connections()
        async with site.http.get(f"{site.url}/healthz", ssl=context) as response:
            assert response.status == 200


async def test_a_plain_request_to_a_tls_port_frees_its_place(
    certificate: tuple[dict[str, Any], ssl.SSLContext], caplog: pytest.LogCaptureFixture
) -> None:
    async with open_site(**certificate[0]) as site:
        async with wire(site.port) as client:
            await client.write(request("GET", "/healthz"))
            await client.read_to_end()
        await site.wait_for_connections()
        assert site.context.handshakes == 0
    assert not [record for record in caplog.records if record.name == "headrace"]
