"""Groups: membership by the token's claim and by the application; one delivery per session."""

from urllib.parse import quote

import pytest
from tests.helpers.site import API_KEY, Json, Site, mint, opened, recv
from websockets.asyncio.client import ClientConnection

from headrace.api.routes.groups import ROUTES

AUTHORIZED = {"authorization": f"Bearer {API_KEY}"}


async def change(site: Site, method: str, group: str, client_id: str = "alice") -> Json:
    path = f"/v1/groups/{quote(group, safe='')}/members/{quote(client_id, safe='')}"
    async with site.http.request(method, site.url + path, headers=AUTHORIZED) as response:
        assert response.status == 200, await response.text()
        found: Json = await response.json()
        assert (found["group"], found["client_id"]) == (group, client_id)
        assert found["member"] is (method == "PUT")
        return found


async def join(site: Site, group: str, client_id: str = "alice") -> Json:
    return await change(site, "PUT", group, client_id)


async def leave(site: Site, group: str, client_id: str = "alice") -> Json:
    return await change(site, "DELETE", group, client_id)


async def sessions_reached(site: Site, group: str) -> int:
    return int((await site.send("to the group", group=group))["sessions"])


async def data_until(client: ClientConnection, last: str) -> list[str]:
    """Return the data of all messages before `last`."""
    found = []
    while (data := (await recv(client))["data"]) != last:
        found.append(data)
    return found


async def test_member_twice_gets_a_message_once(site: Site) -> None:
    await join(site, "g")
    await join(site, "g")
    async with site.connect(mint(groups=["g", "g"])) as client:
        await opened(client)
        assert (await join(site, "g"))["sessions"] == 1
        assert await sessions_reached(site, "g") == 1
        await site.send("end")
        assert await data_until(client, "end") == ["to the group"]
        # One leave removes both memberships.
        await leave(site, "g")
        assert await sessions_reached(site, "g") == 0


async def test_join_and_leave_take_effect_at_once(site: Site) -> None:
    async with site.connect(mint()) as one, site.connect(mint()) as two:
        await opened(one)
        await opened(two)
        for round_number in range(3):
            assert await sessions_reached(site, "g") == 0
            assert (await join(site, "g"))["sessions"] == 2
            assert await sessions_reached(site, "g") == 2
            assert (await leave(site, "g"))["sessions"] == 2
            await site.send(f"end {round_number}")
            for client in (one, two):
                assert await data_until(client, f"end {round_number}") == ["to the group"]


async def test_leave_overrides_the_claims_of_earlier_tokens(site: Site) -> None:
    token = await site.channel(groups=["g", "h"])
    async with site.connect(token) as client:
        await opened(client)
        assert await sessions_reached(site, "g") == 1
        await leave(site, "g")
        assert await sessions_reached(site, "g") == 0
        assert await sessions_reached(site, "h") == 1
    async with site.connect(token) as client:
        await opened(client)
        assert await sessions_reached(site, "g") == 0
    newer = await site.channel(groups=["g"])
    async with site.connect(newer) as client:
        await opened(client)
        assert await sessions_reached(site, "g") == 1


async def test_client_that_is_not_connected_can_join_and_leave(site: Site) -> None:
    assert (await join(site, "g", "absent"))["sessions"] == 0
    async with site.connect(mint("absent")) as client:
        await opened(client)
        assert await sessions_reached(site, "g") == 1
    assert (await leave(site, "g", "absent"))["sessions"] == 0
    async with site.connect(mint("absent")) as client:
        await opened(client)
        assert await sessions_reached(site, "g") == 0


async def test_member_resumes_messages_of_its_group(site: Site) -> None:
    await join(site, "g")
    async with site.connect(await site.channel()) as client:
        last_id = (await opened(client))["id"]
    await site.send("while away", group="g")
    async with site.connect(mint(), query=f"?last_id={last_id}") as client:
        assert (await opened(client))["recovered"] is True
        assert (await recv(client))["data"] == "while away"


async def test_presence_of_a_group(site: Site) -> None:
    async with (
        site.connect(mint("a", groups=["g"])) as one,
        site.connect(mint("a")) as two,
        site.connect(mint("b")) as three,
    ):
        for client in (one, two, three):
            await opened(client)
        await join(site, "g", "b")
        url = f"{site.url}/v1/presence?group=g"
        async with site.http.get(url, headers=AUTHORIZED) as response:
            found = await response.json()
        assert found["count"] == 2
        sessions = {one["client_id"]: one["sessions"] for one in found["clients"]}
        assert sessions == {"a": 2, "b": 1}
        assert (await site.stats())["groups"] == 1


@pytest.mark.parametrize("method", [route.method for route in ROUTES])
async def test_invalid_requests(site: Site, method: str) -> None:
    cases = {
        "/v1/groups/g/members/" + "x" * 257: 400,
        "/v1/groups/" + "x" * 257 + "/members/alice": 400,
        "/v1/groups/%FF/members/alice": 400,
        "/v1/groups/g/members/%FF": 400,
        "/v1/groups/g/members/": 400,
        "/v1/groups//members/alice": 400,
        "/v1/groups/g/members/a/b": 404,
        "/v1/groups/g": 404,
    }
    for path, status in cases.items():
        async with site.http.request(method, site.url + path, headers=AUTHORIZED) as response:
            assert (path[:40], response.status) == (path[:40], status)
            assert response.content_type == "application/problem+json"
    async with site.http.request(method, f"{site.url}/v1/groups/g/members/a") as response:
        assert response.status == 401
    async with site.http.get(f"{site.url}/v1/groups/g/members/a", headers=AUTHORIZED) as response:
        assert response.status == 405
        assert {"PUT", "DELETE"} <= set(response.headers["allow"].split(", "))
