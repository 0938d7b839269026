"""`DELETE /v1/channels/{id}` closes the sessions and revokes the earlier tokens; renewal."""

import asyncio
import contextlib
import json
import time
from urllib.parse import quote

import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.site import API_KEY, Json, Site, mint, opened, recv
from tests.helpers.wire import request, wire
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

REVOKED = {"status": 401, "detail": "Token+revoked.", "code": 4003}


async def revoke(site: Site, client_id: str = "alice") -> Json:
    headers = {"authorization": f"Bearer {API_KEY}"}
    url = f"{site.url}/v1/channels/{quote(client_id, safe='')}"
    async with site.http.delete(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        found: Json = await response.json()
        assert found["client_id"] == client_id
        return found


async def close_code(client: ClientConnection) -> int | None:
    """Wait for the close and return its code."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in client:
            pass
    await client.wait_closed()
    return client.close_code


async def renew(client: ClientConnection, token: str) -> None:
    await client.send(json.dumps({"type": "renew", "token": token}))


async def error_fields(site: Site, method: str, path: str, token: str) -> Json:
    """Return the fields of the error that an HTTP request gets."""
    body = {"data": "x"} if method == "POST" else None
    async with site.http.request(method, f"{site.url}{path}?token={token}", json=body) as response:
        found: Json = await response.json(content_type="application/problem+json")
        return {name: found[name] for name in REVOKED}


async def test_all_sessions_are_closed_within_a_second(site: Site) -> None:
    token = await site.channel()
    async with (
        site.connect(token) as one,
        site.connect(token) as two,
        site.connect(mint("bob")) as bob,
        site.http.get(f"{site.url}/v1/events?token={token}") as events,
    ):
        for client in (one, two, bob):
            await opened(client)
        await events.content.readuntil(b'"open"')
        poll = asyncio.create_task(error_fields(site, "GET", "/v1/poll", token))
        while (await site.stats())["sessions"] < 5:
            pass
        started = time.monotonic()
        assert (await revoke(site))["sessions"] == 4
        assert (await close_code(one), await close_code(two)) == (4003, 4003)
        assert b'"code":4003' in await events.content.read()
        assert await poll == REVOKED
        assert time.monotonic() - started < 1
        await site.send("to bob", to="bob")
        assert (await recv(bob))["data"] == "to bob"


async def test_old_tokens_are_refused_and_a_new_one_is_accepted(site: Site) -> None:
    old = await site.channel()
    await revoke(site)
    fresh = await site.channel()
    for token in (old, mint(iat=time.time() - 5), mint()):  # a token without `iat` counts as old
        async with site.connect(token) as client:
            assert await close_code(client) == 4003
        for method, path in (
            ("GET", "/v1/events"),
            ("GET", "/v1/poll"),
            ("POST", "/v1/messages"),
        ):
            assert await error_fields(site, method, path, token) == REVOKED
        async with wire(site.port) as bare:
            await bare.write(request("GET", f"/v1/poll?token={token}"))
            response = await bare.read_response()
        assert response.status == 401
        assert response.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    async with site.connect(fresh) as client:
        await opened(client)
        assert (await site.send("again"))["sessions"] == 1


async def test_token_minted_right_after_the_revocation_is_valid(site: Site) -> None:
    for _ in range(20):
        await revoke(site)
        async with site.connect(await site.channel()) as client:
            await opened(client)


async def test_tokens_of_other_clients_stay_valid(site: Site) -> None:
    token = await site.channel("alice2")
    await revoke(site)
    async with site.connect(token) as client:
        await opened(client)


async def test_renewal_with_a_revoked_token(site: Site) -> None:
    old = await site.channel()
    await revoke(site)
    async with site.connect(await site.channel()) as client:
        await opened(client)
        await renew(client, old)
        error = await recv(client)
        assert (error["type"], error["code"]) == ("error", 4003)
        assert error["detail"] == "Token+revoked."
        assert (await site.send("still open"))["sessions"] == 1


async def test_absent_clients_and_invalid_requests(site: Site) -> None:
    assert (await revoke(site, "nobody"))["sessions"] == 0
    headers = {"authorization": f"Bearer {API_KEY}"}
    for path, status in (("x" * 257, 400), ("%FF", 400), ("", 400)):
        url = f"{site.url}/v1/channels/{path}"
        async with site.http.delete(url, headers=headers) as response:
            assert (path[:9], response.status) == (path[:9], status)
    async with site.http.delete(f"{site.url}/v1/channels/alice") as response:
        assert response.status == 401


# --- renewal -----------------------------------------------------------------------------------


async def test_renewed_session_stays_open_after_the_first_expiry(serve: Serve) -> None:
    site = await serve()
    now = time.time()
    async with site.connect(mint(exp=now + 1.0)) as client:
        assert (await opened(client))["expires_at"] == pytest.approx(now + 1.0)
        await renew(client, mint(exp=now + 7200, iat=now))
        assert (await opened(client))["expires_at"] == pytest.approx(now + 7200)
        while time.time() < now + 1.5:
            assert (await site.send("x"))["sessions"] == 1
            assert (await recv(client))["data"] == "x"
        assert (await site.stats())["sessions"] == 1


async def test_expired_token_closes_with_4002(serve: Serve) -> None:
    site = await serve()
    async with site.connect(mint(exp=time.time() + 0.5)) as client:
        await opened(client)
        assert await close_code(client) == 4002


async def test_token_from_a_clock_ahead_of_ours_is_revoked(site: Site) -> None:
    ahead = mint(iat=time.time() + 100, exp=time.time() + 1000)
    async with site.connect(ahead) as client:
        await opened(client)
        await revoke(site)
        assert await close_code(client) == 4003
    assert await error_fields(site, "GET", "/v1/events", ahead) == REVOKED
    async with site.connect(await site.channel()) as fresh:
        await opened(fresh)
