"""`POST /v1/messages` without an application: the token's `send` claim decides."""

from typing import Any

import pytest
from tests.helpers.site import Json, Site, opened, recv

GRANTS = ["client:*", "group:game-*", r"group:\*", r"group:a\\b"]


async def post(site: Site, token: str | None, body: Json) -> tuple[int, Json]:
    status, fields, headers = await site.post("/v1/messages", body, key=token)
    expected = "application/json" if status == 200 else "application/problem+json"
    assert headers["content-type"] == expected
    return status, fields


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ({"to": "bob"}, 200),
        ({"to": ["bob", "alice"]}, 200),
        ({"group": "game-7"}, 200),
        ({"group": "game-"}, 200),
        ({"group": "*"}, 200),
        ({"group": r"a\b"}, 200),
        ({"group": "game"}, 403),
        ({"group": "a game-7"}, 403),
        ({"group": "b"}, 403),
        ({"group": r"\*"}, 403),
        ({}, 403),
        ({"to": "bob", "group": "game-7"}, 400),
        ({"to": ""}, 400),
        ({"everyone": True}, 400),
    ],
)
async def test_targets(site: Site, target: dict[str, Any], status: int) -> None:
    token = await site.channel("alice", send=GRANTS)
    found, fields = await post(site, token, {"data": "x", **target})
    assert found == status
    if status == 200:
        assert set(fields) == {"id", "sessions"}


async def test_relayed_message_is_like_one_of_the_application(site: Site) -> None:
    alice = await site.channel("alice", send=["client:bob", "group:lobby"])
    async with site.connect(await site.channel("bob", groups=["lobby"])) as bob:
        await opened(bob)
        status, one = await post(site, alice, {"data": "žluť", "to": "bob"})
        assert (status, one["sessions"]) == (200, 1)
        assert await recv(bob) == {"id": one["id"], "data": "žluť"}
        status, two = await post(site, alice, {"data": "", "group": "lobby"})
        assert (status, two["sessions"]) == (200, 1)
        assert await recv(bob) == {"id": two["id"], "data": "", "group": "lobby"}


async def test_token_without_the_claim(site: Site) -> None:
    token = await site.channel("alice")
    for target in ({"to": "alice"}, {"group": "g"}, {}):
        assert (await post(site, token, {"data": "x", **target}))[0] == 403
    assert (await site.stats())["messages"] == 0


async def test_invalid_requests(site: Site) -> None:
    token = await site.channel(send=["group:*"])
    body = {"data": "x", "group": "g"}
    assert (await post(site, None, body))[0] == 401
    status, problem = await post(site, token + "x", body)
    assert (status, problem["detail"], problem["code"]) == (401, "Invalid+token.", 4001)
    assert (await post(site, token, {**body, "data": "x" * 32769}))[0] == 413
    assert (await post(site, token, {"group": "g"}))[0] == 400
    assert (await post(site, token, {**body, "colour": "red"}))[0] == 400


async def test_token_in_the_query(site: Site) -> None:
    token = await site.channel(send=["group:*"])
    async with site.http.post(
        f"{site.url}/v1/messages?token={token}", json={"data": "x", "group": "g"}
    ) as response:
        assert response.status == 200
