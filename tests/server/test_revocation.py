"""`DELETE /v1/channels/{id}`: a client is closed at once, and its tokens so far open nothing."""

import asyncio
import contextlib
import json
import time
from urllib.parse import quote

import pytest
from tests.server.conftest import Serve
from tests.server.kit import API_KEY, Json, Site, mint, opened, recv
from tests.server.wire import request, wire
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

FAULT = {"status": 401, "detail": "Token+revoked.", "code": 4003}


async def revoke(site: Site, client_id: str = "alice") -> Json:
    headers = {"authorization": f"Bearer {API_KEY}"}
    url = f"{site.url}/v1/channels/{quote(client_id, safe='')}"
    async with site.http.delete(url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        found: Json = await answer.json()
        assert found["client_id"] == client_id
        return found


async def close_code(client: ClientConnection) -> int | None:
    """Wait for the end."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in client:
            pass
    await client.wait_closed()
    return client.close_code


async def renew(client: ClientConnection, token: str) -> None:
    await client.send(json.dumps({"type": "renew", "token": token}))


async def fault(site: Site, method: str, path: str, token: str) -> Json:
    """What a plain HTTP client is answered."""
    body = {"data": "x"} if method == "POST" else None
    async with site.http.request(method, f"{site.url}{path}?token={token}", json=body) as answer:
        found: Json = await answer.json(content_type="application/problem+json")
        return {name: found[name] for name in FAULT}


async def test_every_session_is_closed_in_under_a_second(site: Site) -> None:
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
        poll = asyncio.create_task(fault(site, "GET", "/v1/poll", token))
        while (await site.stats())["sessions"] < 5:
            pass
        started = time.monotonic()
        assert (await revoke(site))["sessions"] == 4
        assert (await close_code(one), await close_code(two)) == (4003, 4003)
        assert b'"code":4003' in await events.content.read()
        assert await poll == FAULT
        assert time.monotonic() - started < 1
        await site.send("bob stays", to="bob")
        assert (await recv(bob))["data"] == "bob stays"


async def test_an_old_token_opens_nothing_any_more_and_a_fresh_one_does(site: Site) -> None:
    old = await site.channel()
    await revoke(site)
    fresh = await site.channel()
    for token in (old, mint(iat=time.time() - 5), mint()):  # one without `iat` counts as older
        async with site.connect(token) as client:
            assert await close_code(client) == 4003
        for method, path in (
            ("GET", "/v1/events"),
            ("GET", "/v1/poll"),
            ("POST", "/v1/messages"),
        ):
            assert await fault(site, method, path, token) == FAULT
        async with wire(site.port) as bare:
            await bare.write(request("GET", f"/v1/poll?token={token}"))
            reply = await bare.reply()
        assert reply.status == 401
        assert reply.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    async with site.connect(fresh) as client:
        await opened(client)
        assert (await site.send("again"))["sessions"] == 1


async def test_a_fresh_token_opens_the_channel_however_soon_it_is_minted(site: Site) -> None:
    for _ in range(20):
        await revoke(site)
        async with site.connect(await site.channel()) as client:
            await opened(client)


async def test_others_tokens_are_untouched(site: Site) -> None:
    token = await site.channel("alice2")
    await revoke(site)
    async with site.connect(token) as client:
        await opened(client)


async def test_a_revoked_token_renews_nothing(site: Site) -> None:
    old = await site.channel()
    await revoke(site)
    async with site.connect(await site.channel()) as client:
        await opened(client)
        await renew(client, old)
        answer = await recv(client)
        assert (answer["type"], answer["code"]) == ("error", 4003)
        assert answer["detail"] == "Token+revoked."
        assert (await site.send("still open"))["sessions"] == 1


async def test_nobody_there_is_no_error(site: Site) -> None:
    assert (await revoke(site, "nobody"))["sessions"] == 0
    headers = {"authorization": f"Bearer {API_KEY}"}
    for path, status in (("x" * 257, 400), ("%FF", 400), ("", 400)):
        url = f"{site.url}/v1/channels/{path}"
        async with site.http.delete(url, headers=headers) as answer:
            assert (path[:9], answer.status) == (path[:9], status)
    async with site.http.delete(f"{site.url}/v1/channels/alice") as answer:
        assert answer.status == 401


# --- renewal -----------------------------------------------------------------------------------


async def test_a_renewed_token_keeps_the_same_socket_past_the_old_expiry(serve: Serve) -> None:
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


async def test_a_token_that_is_not_renewed_ends_with_4002(serve: Serve) -> None:
    site = await serve()
    async with site.connect(mint(exp=time.time() + 0.5)) as client:
        await opened(client)
        assert await close_code(client) == 4002


async def test_a_token_of_a_clock_ahead_of_ours_is_revoked_while_it_is_in_use(site: Site) -> None:
    ahead = mint(iat=time.time() + 100, exp=time.time() + 1000)
    async with site.connect(ahead) as client:
        await opened(client)
        await revoke(site)
        assert await close_code(client) == 4003
    assert await fault(site, "GET", "/v1/events", ahead) == FAULT
    async with site.connect(await site.channel()) as fresh:
        await opened(fresh)
