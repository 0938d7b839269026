"""The process logs no token, no key and no message data, whatever goes wrong."""

import json
import time

import pytest
from tests.helpers.client_bytes import client_frame
from tests.helpers.server_process import server_process
from tests.helpers.site import API_KEY, SECRET, mint, opened, recv
from tests.helpers.wire import handshake, request, wire

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

DATA = "the-data-that-must-not-be-logged"
OTHER_KEY = "the-key-of-another-application"


async def test_process_logs_no_secret() -> None:
    good = mint(send=["group:*"])
    tokens = [
        good,
        mint(exp=time.time() - 1),
        mint(secret="o" * 32),
        mint("bob"),
        good[:-3] + "xyz",
        "header.invalid-payload.signature",
    ]
    body = json.dumps({"to": "alice", "data": DATA}).encode()
    authorized = f"Authorization: Bearer {API_KEY}"
    requests = [
        request("POST", "/v1/send", authorized, body=body),
        request("POST", "/v1/send", authorized, body=body[:-1]),
        request("POST", "/v1/send", authorized, body=body.replace(b'"to"', b'"two"')),
        request("POST", "/v1/send", authorized, body=body.replace(DATA.encode(), b"\xff")),
        request("POST", "/v1/send", authorized, "Content-Type: text/plain", body=body),
        request("POST", "/v1/send", f"Authorization: Bearer {OTHER_KEY}", body=body),
        request("POST", f"/v1/send?key={API_KEY}", body=body),
        request("POST", "/v1/send", authorized, "Transfer-Encoding: chunked") + body + b"\r\n",
        request("POST", "/v1/send", authorized, body=json.dumps({"data": DATA * 9999}).encode()),
        request("POST", f"/v1/nothing?data={DATA}", authorized, body=body),
        request("GET", f"/{DATA}/{good}?token={good}"),
        request("GET", "/healthz", authorized, f"X-Broken {good}"),
        request("GET", "/healthz", f"Authorization: Bearer {good}\x00"),
        f"GET /v1/connect?token={good} HTTP/9.9\r\n\r\n".encode(),
        f"{good} {DATA}\r\n\r\n".encode(),
    ]
    for token in tokens:
        requests += [
            handshake(token),
            handshake(token, v1=False),
            handshake(token, query="?last_id=nonsense"),
            handshake(token).replace(b"Version: 13", b"Version: 12"),
            handshake(token).replace(b"headrace.v1", f"headrace.token.{token}".encode()),
            request("GET", f"/v1/events?token={token}&last_id={DATA}"),
            request("GET", f"/v1/poll?token={token}&last_id={DATA}"),
            request("POST", "/v1/messages", f"Authorization: Bearer {token}", body=body),
            request("POST", f"/v1/messages?token={token}", body=body),
        ]
    async with server_process("--ping-interval-s", "1", "--message-max-bytes", "4096") as site:
        for each in requests:
            async with wire(site.port) as client:
                await client.write(each)
                assert await client.read_some()
        async with wire(site.port) as client:  # disconnects within the body
            await client.write(requests[0][:-5])
        async with site.connect(good) as listener:
            await opened(listener)
            for token in tokens:
                await listener.send(json.dumps({"type": "renew", "token": token}))
                assert (await recv(listener))["type"] in ("open", "error")
            await listener.send(DATA)
            assert (await recv(listener))["type"] == "error"
            await listener.send(json.dumps({"type": DATA, "token": good}))
            assert (await recv(listener))["type"] == "error"
            listener.transport.abort()
        async with wire(site.port) as client:
            await client.upgrade(good)
            await client.write(
                client_frame(0x1, DATA.encode(), fin=False) + client_frame(0x1, b"\xff")
            )
            await client.read_until_closed()
        async with site.http.get(f"{site.url}/v1/stats?token={good}") as response:
            assert response.status == 401
        result = await site.stop()
    assert result.exit_code == 0
    printed = result.stdout + result.stderr
    for secret in (SECRET, API_KEY, OTHER_KEY, DATA, *tokens):
        assert secret not in printed
        assert secret[-20:] not in printed
    # The operator can fix none of these errors, so none is logged.
    assert printed == ""
