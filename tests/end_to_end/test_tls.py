"""TLS: wss and https, old versions, certificates, and connections that are closed or aborted."""

import asyncio
import ssl
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from tests.end_to_end.conftest import Serve
from tests.helpers.constants import set_server_constant
from tests.helpers.site import API_KEY, Site, mint, open_site, opened, recv, run
from tests.helpers.wire import request, wire
from websockets.exceptions import ConnectionClosed

from headrace.errors import ConfigError


class Files(NamedTuple):
    """PEM files of a certificate for 127.0.0.1, and a client context that trusts it."""

    certificate: str
    key: str
    authority: str
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    names = [str(directory / name) for name in ("certificate.pem", "key.pem", "authority.pem")]
    issued.cert_chain_pems[0].write_to_path(names[0])
    issued.private_key_pem.write_to_path(names[1])
    authority.cert_pem.write_to_path(names[2])
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Files(names[0], names[1], names[2], context)


@pytest.fixture
async def site(serve: Serve, files: Files) -> Site:
    return await serve(tls_cert=files.certificate, tls_key=files.key)


async def send(site: Site, files: Files, data: str) -> int:
    headers = {"authorization": f"Bearer {API_KEY}"}
    body = {"to": "alice", "data": data}
    async with site.http.post(
        f"{site.url}/v1/send", json=body, headers=headers, ssl=files.context
    ) as response:
        assert response.status == 200
        sessions: int = (await response.json())["sessions"]
        return sessions


async def test_wss_and_https(site: Site, files: Files) -> None:
    assert site.url == f"https://127.0.0.1:{site.port}"
    async with (
        site.connect(mint(), ssl=files.context) as client,
        site.http.ws_connect(f"{site.ws_url}/v1/connect?token={mint()}", ssl=files.context) as bare,
    ):
        await opened(client)
        for data in ("žluť", "", "x" * 32768):
            assert await send(site, files, data) == 2
            assert (await recv(client))["data"] == data
            assert await bare.receive_str() == data


async def test_long_messages_in_order(site: Site, files: Files) -> None:
    async with site.connect(mint(), ssl=files.context) as client:
        await opened(client)
        for number in range(20):
            await send(site, files, f"{number} {'x' * 32_000}")
        assert [int((await recv(client))["data"].split()[0]) for _ in range(20)] == [*range(20)]


async def test_curl_with_tls_1_2_and_1_3(site: Site, files: Files) -> None:
    for version in ("--tls-max=1.2", "--tlsv1.3"):
        option = version.split("=")
        finished = await run(
            "curl", "--silent", "--cacert", files.authority, *option, f"{site.url}/healthz"
        )
        assert finished.stdout == '{"status":"ok"}'


def client_hello(version: bytes) -> bytes:
    """Return a ClientHello (RFC 4346 section 7.4.1.2) with a suite that old versions know."""
    hello = version + bytes(32) + b"\x00" + b"\x00\x04\xc0\x14\x00\x35" + b"\x01\x00"
    handshake = b"\x01" + len(hello).to_bytes(3, "big") + hello
    return b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake


@pytest.mark.parametrize("version", [b"\x03\x01", b"\x03\x02"], ids=["1.0", "1.1"])
async def test_old_versions_are_refused(site: Site, version: bytes) -> None:
    async with wire(site.port) as client:
        await client.write(client_hello(version))
        alert = await client.read_to_end()
        # Neither event loop sends an alert after a failed handshake; there must be no ServerHello.
        assert alert == b""


async def test_plain_http_on_a_tls_port(
    site: Site, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with wire(site.port) as plain, wire(site.port) as silent:
        await plain.write(request("GET", "/healthz"))
        await plain.read_until_closed()
        silent.close()
        assert await send(site, files, "x") == 0
    assert not caplog.records


async def test_closes_and_errors(
    site: Site, files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_server_constant(monkeypatch, "CLOSE_TIMEOUT_S", 60)
    async with asyncio.timeout(20):
        async with site.connect("nonsense", ssl=files.context) as client:
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 4001
        async with site.connect(mint(), ssl=files.context) as client:
            await opened(client)
            await client.send(b"binary")
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1003
        async with site.connect(mint(), ssl=files.context) as client:
            await opened(client)
            await client.close(4000)
            assert client.close_code == 4000
        async with site.http.get(f"{site.url}/nothing", ssl=files.context) as response:
            assert response.status == 404
        async with site.http.get(
            f"{site.url}/healthz", ssl=files.context, headers={"connection": "close"}
        ) as response:
            assert response.status == 200
        async with site.http.post(
            f"{site.url}/v1/send", ssl=files.context, json={"data": "x" * 100_000}
        ) as response:
            assert response.status == 401
        async with site.connect(mint(), ssl=files.context) as client:
            await opened(client)
            await site.http.close()
            await site.server.stop()
            assert (await recv(client))["type"] == "reconnect"
            await client.wait_closed()
            assert client.close_code == 1012
    assert not caplog.records


async def test_client_that_does_not_read_is_aborted(
    serve: Serve, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    site = await serve(tls_cert=files.certificate, tls_key=files.key, ring_max_messages=8)
    async with site.connect(mint(), ssl=files.context, max_queue=1, close_timeout=0.1) as client:
        await opened(client)
        client.transport.pause_reading()
        while await send(site, files, "x" * 32_000):
            pass
        await site.wait_for_connections(1)
    assert not caplog.records


async def test_client_that_does_not_answer_is_aborted_at_shutdown(
    site: Site, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site.connect(mint(), ssl=files.context, close_timeout=0.1) as client:
        await opened(client)
        client.transport.pause_reading()
        set_server_constant(monkeypatch, "CLOSE_TIMEOUT_S", 0.2)
        await site.http.close()
        await site.server.stop()
        assert not site.context.connections


@pytest.mark.parametrize("broken", ["no file", "no PEM", "another key", "no key"])
async def test_invalid_files(files: Files, tmp_path: Path, broken: str) -> None:
    certificate, key = files.certificate, files.key
    if broken == "no file":
        certificate = str(tmp_path / "missing.pem")
    elif broken == "no PEM":
        certificate = key = __file__
    elif broken == "another key":
        key = str(tmp_path / "other.pem")
        trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(key)
    else:
        key = certificate
    with pytest.raises(ConfigError) as caught:
        async with open_site(tls_cert=certificate, tls_key=key):
            pass
    for text in ("tls_cert", "tls_key", certificate, key, "PEM"):
        assert text in str(caught.value)


async def test_address_in_use(site: Site) -> None:
    with pytest.raises(ConfigError, match=f"port {site.port}"):
        async with open_site(port=site.port):
            pass


async def test_too_many_refused_connections_are_aborted(
    serve: Serve, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_server_constant(monkeypatch, "REFUSED_MAX_COUNT", 1)
    # So that no timeout ends the closing handshake.
    set_server_constant(monkeypatch, "CLOSE_TIMEOUT_S", 3600.0)
    site = await serve(tls_cert=files.certificate, tls_key=files.key, max_connections=1)
    streams = [
        await asyncio.open_connection("127.0.0.1", site.port, ssl=files.context) for _ in range(5)
    ]
    (_, first), *others = streams
    for reader, writer in others:
        writer.write(b"GET /v1/poll HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 503 Service Unavailable\r\n"
    while len(site.context.refused) > 1:
        site.context.connection_closed.clear()
        await site.context.connection_closed.wait()
    for _, writer in streams:
        writer.transport.abort()
    assert len(site.context.connections) == 1
    assert first.transport.is_closing()
    await site.wait_for_connections()
