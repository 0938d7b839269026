"""`POST /v1/send`: one client, a list, a group, everyone, and nobody."""

import asyncio
from contextlib import AsyncExitStack

from tests.server.conftest import Serve
from tests.server.kit import Json, Site, mint, opened, recv
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed


async def data_of(*clients: ClientConnection) -> list[str]:
    """The next message's data, of each client."""
    return [(await recv(client))["data"] for client in clients]


async def test_targets_and_how_many_sessions_each_reaches(site: Site) -> None:
    async with AsyncExitStack() as stack:

        async def join(client_id: str, *groups: str) -> ClientConnection:
            client = await stack.enter_async_context(
                site.connect(await site.channel(client_id, groups=groups))
            )
            await opened(client)
            return client

        a1 = await join("a", "g")
        a2 = await join("a", "h")
        b = await join("b", "g", "h", "g")
        c = await join("c")
        cases: list[tuple[Json, list[ClientConnection]]] = [
            ({"to": "a"}, [a1, a2]),
            ({"to": ["a"]}, [a1, a2]),
            ({"to": ["a", "b", "a", "nobody", "b"]}, [a1, a2, b]),
            ({"group": "g"}, [a1, b]),
            ({"group": "h"}, [a2, b]),
            ({"group": "nobody's"}, []),
            ({"to": "nobody"}, []),
            ({"to": ["nobody"]}, []),
            ({"everyone": True}, [a1, a2, b, c]),
        ]
        for target, reached in cases:
            answer = await site.send(str(target), **target)
            assert answer["sessions"] == len(reached)
            assert await data_of(*reached) == [str(target)] * len(reached)
        # Nothing came twice, and nothing to those it was not for.
        await site.send("last", everyone=True)
        assert await data_of(a1, a2, b, c) == ["last"] * 4

        stats = await site.stats()
        assert (stats["sessions"], stats["clients"], stats["groups"]) == (4, 3, 2)
        await a1.close()
        await site.connections_end(left=4)
        assert (await site.send("x", to="a"))["sessions"] == 1
        assert (await site.send("x", group="g"))["sessions"] == 1


async def test_what_is_sent_before_the_first_connection_waits_for_it(site: Site) -> None:
    await site.send("before the channel")
    token = await site.channel(groups=["g"])
    assert (await site.send("to alice"))["sessions"] == 0
    assert (await site.send("to all", everyone=True))["sessions"] == 0
    assert (await site.send("to the group", group="g"))["sessions"] == 0
    assert (await site.send("to bob", to="bob"))["sessions"] == 0
    async with site.connect(token) as client:
        assert (await opened(client))["recovered"] is None
        assert [(await recv(client))["data"] for _ in range(3)] == [
            "to alice",
            "to all",
            "to the group",
        ]
        # A second tab begins with what comes now.
        async with site.connect(token) as tab:
            await opened(tab)
            await site.send("live")
            assert await data_of(client, tab) == ["live", "live"]


async def test_a_token_without_pos_begins_with_what_comes(site: Site) -> None:
    await site.send("before")
    async with site.connect(mint()) as client:
        await opened(client)
        await site.send("after")
        assert await data_of(client) == ["after"]


async def test_a_page_that_is_reloaded_goes_on_where_it_was(site: Site) -> None:
    token = await site.channel()
    async with site.connect(token) as client:
        await opened(client)
        await site.send("seen")
        assert await data_of(client) == ["seen"]
    await site.send("missed")
    async with site.connect(token) as client:
        await opened(client)
        assert await data_of(client) == ["missed"]


async def test_concurrent_senders_reach_all_in_one_order(site: Site) -> None:
    async with site.connect(await site.channel()) as one, site.connect(await site.channel()) as two:
        await opened(one)
        await opened(two)
        answers = await asyncio.gather(*[site.send(str(number)) for number in range(200)])
        first = [await recv(one) for _ in range(200)]
        assert first == [await recv(two) for _ in range(200)]
        ids = [frame["id"] for frame in first]
        assert ids == sorted(ids, key=lambda text: tuple(map(int, text.split("-"))))
        assert {frame["id"]: frame["data"] for frame in first} == {
            answer["id"]: str(number) for number, answer in enumerate(answers)
        }


async def test_a_tab_too_many_replaces_the_oldest(serve: Serve) -> None:
    site = await serve()
    token = await site.channel()
    async with AsyncExitStack() as stack:
        tabs = []
        for _ in range(17):
            tabs.append(await stack.enter_async_context(site.connect(token)))
            await opened(tabs[-1])
        try:
            await tabs[0].recv()
        except ConnectionClosed:
            assert tabs[0].close_code == 4009
        else:
            raise AssertionError("the oldest tab is still open")
        assert (await site.send("x"))["sessions"] == 16
        assert await data_of(*tabs[1:]) == ["x"] * 16
