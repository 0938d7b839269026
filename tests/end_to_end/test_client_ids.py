"""Client IDs and group names with any characters work on every route and in every notice."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from tests.helpers.application import CONNECTED, DISCONNECTED, FakeApplication, running_application
from tests.helpers.server_process import ServerProcess, server_process
from tests.helpers.site import API_KEY, Json, opened, recv
from yarl import URL

from headrace.client import AsyncClient

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # the server is another process

CLIENT_IDS = [
    "alice",
    "a/b",
    "/",
    "//a//",
    "-",
    "--help",
    "a=b",
    "a&b=c",
    "a+b c",
    " ",
    "%2F%",
    "a?b#c",
    "..",
    ".",
    "a;b:c@d,e",
    "\x00\x01\r\n\t",
    "\u2028\ufeff",
    "Zoë žluťoučký 日本語 🎈",
    "e\u0301",  # two code points, which must not be normalized to one
    "[]{}\"'\\",
    "x" * 256,
    "é" * 128,
    "🎈" * 64,
    "/" * 256,
]


@pytest.fixture
async def application() -> AsyncIterator[FakeApplication]:
    async with running_application() as application:
        yield application


@pytest.fixture
async def site(application: FakeApplication) -> AsyncIterator[ServerProcess]:
    flags = ("--app-url", application.url, "--presence-grace-s", "0", "--drain-s", "0")
    async with server_process(*flags) as site:
        yield site


async def call(site: ServerProcess, method: str, path: str) -> Json:
    headers = {"authorization": f"Bearer {API_KEY}"}
    url = URL(site.url + path, encoded=True)  # aiohttp would normalize it
    async with site.http.request(method, url, headers=headers) as response:
        assert response.status == 200, (path, await response.text())
        found: Json = await response.json()
        return found


async def test_every_route(application: FakeApplication, site: ServerProcess) -> None:
    expected = []
    for client_id in CLIENT_IDS:
        segment = quote(client_id, safe="")
        token = await site.channel(client_id, send=["group:g"])
        async with site.connect(token) as client:
            assert (await opened(client))["client_id"] == client_id
            assert (await call(site, "PUT", f"/v1/groups/g/members/{segment}")) == {
                "group": "g", "client_id": client_id, "member": True, "sessions": 1,
            }  # fmt: skip
            assert (await site.send("one", to=client_id))["sessions"] == 1
            assert (await site.send("list", to=["nobody", client_id]))["sessions"] == 1
            assert (await site.send("group", group="g"))["sessions"] == 1
            assert [(await recv(client))["data"] for _ in range(3)] == ["one", "list", "group"]
            found = await call(site, "GET", f"/v1/presence/{segment}")
            assert (found["client_id"], found["online"]) == (client_id, True)
            found = await call(site, "GET", "/v1/presence?group=g")
            assert [one["client_id"] for one in found["clients"]] == [client_id]
            status, _, _ = await site.post(
                "/v1/messages", {"data": "x", "to": client_id}, key=token
            )
            assert status == 202
            assert application.messages[-1] == {"from": client_id, "data": "x", "to": client_id}
            await call(site, "DELETE", f"/v1/groups/g/members/{segment}")
            assert (await site.send("x", group="g"))["sessions"] == 0
            found = await call(site, "DELETE", f"/v1/channels/{segment}")
            assert found == {"client_id": client_id, "sessions": 1}
        expected += [(CONNECTED, client_id), (DISCONNECTED, client_id)]
        await application.wait_for_notices(*expected)


async def test_python_client(application: FakeApplication, site: ServerProcess) -> None:
    async with AsyncClient(site.url, API_KEY) as api:
        for client_id in CLIENT_IDS:
            token = (await api.create_channel(client_id)).token
            async with site.connect(token) as client:
                await opened(client)
                assert await api.join(client_id, "g") == 1
                assert (await api.send("x", to=client_id)).sessions == 1
                assert (await api.presence(client_id)).online
                assert (await api.presence_of_group("g")).count == 1
                assert await api.leave(client_id, "g") == 1
                assert await api.revoke(client_id) == 1


async def test_group_names(site: ServerProcess) -> None:
    token = await site.channel("alice", groups=CLIENT_IDS)
    async with site.connect(token) as client:
        await opened(client)
        for name in CLIENT_IDS:
            segment = quote(name, safe="")
            assert (await site.send(name, group=name))["sessions"] == 1
            assert (await recv(client))["group"] == name
            found = await call(site, "GET", f"/v1/presence?group={segment}")
            assert (found["group"], found["count"]) == (name, 1)
            await call(site, "DELETE", f"/v1/groups/{segment}/members/alice")
            assert (await site.send("x", group=name))["sessions"] == 0
            await call(site, "PUT", f"/v1/groups/{segment}/members/alice")
            assert (await site.send("y", group=name))["sessions"] == 1
            assert (await recv(client))["data"] == "y"
