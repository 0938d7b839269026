"""`POST /v1/send`: to a client, a list, a group, and everyone; where sessions start."""

import asyncio
from contextlib import AsyncExitStack

from tests.end_to_end.conftest import Serve
from tests.helpers.site import Json, Site, mint, opened, recv
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed


async def data_of(*clients: ClientConnection) -> list[str]:
    """Return the data of each client's next message."""
    return [(await recv(client))["data"] for client in clients]


async def test_targets_and_their_sessions(site: Site) -> None:
    async with AsyncExitStack() as stack:

        async def connect(client_id: str, *groups: str) -> ClientConnection:
            client = await stack.enter_async_context(
                site.connect(await site.channel(client_id, groups=groups))
            )
            await opened(client)
            return client

        a1 = await connect("a", "g")
        a2 = await connect("a", "h")
        b = await connect("b", "g", "h", "g")
        c = await connect("c")
        cases: list[tuple[Json, list[ClientConnection]]] = [
            ({"to": "a"}, [a1, a2]),
            ({"to": ["a"]}, [a1, a2]),
            ({"to": ["a", "b", "a", "nobody", "b"]}, [a1, a2, b]),
            ({"group": "g"}, [a1, b]),
            ({"group": "h"}, [a2, b]),
            ({"group": "empty"}, []),
            ({"to": "nobody"}, []),
            ({"to": ["nobody"]}, []),
            ({"everyone": True}, [a1, a2, b, c]),
        ]
        for target, recipients in cases:
            receipt = await site.send(str(target), **target)
            assert receipt["sessions"] == len(recipients)
            assert await data_of(*recipients) == [str(target)] * len(recipients)
        # No session got a message twice, or one for another client.
        await site.send("last", everyone=True)
        assert await data_of(a1, a2, b, c) == ["last"] * 4

        stats = await site.stats()
        assert (stats["sessions"], stats["clients"], stats["groups"]) == (4, 3, 2)
        await a1.close()
        await site.wait_for_connections(4)
        assert (await site.send("x", to="a"))["sessions"] == 1
        assert (await site.send("x", group="g"))["sessions"] == 1


async def test_messages_before_the_first_connection_are_delivered(site: Site) -> None:
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
        # A second session starts with new messages.
        async with site.connect(token) as tab:
            await opened(tab)
            await site.send("live")
            assert await data_of(client, tab) == ["live", "live"]


async def test_token_without_pos_starts_with_new_messages(site: Site) -> None:
    await site.send("before")
    async with site.connect(mint()) as client:
        await opened(client)
        await site.send("after")
        assert await data_of(client) == ["after"]


async def test_reloaded_page_continues_where_it_was(site: Site) -> None:
    token = await site.channel()
    async with site.connect(token) as client:
        await opened(client)
        await site.send("seen")
        assert await data_of(client) == ["seen"]
    await site.send("missed")
    async with site.connect(token) as client:
        await opened(client)
        assert await data_of(client) == ["missed"]


async def test_concurrent_sends_have_one_order(site: Site) -> None:
    async with site.connect(await site.channel()) as one, site.connect(await site.channel()) as two:
        await opened(one)
        await opened(two)
        receipts = await asyncio.gather(*[site.send(str(number)) for number in range(200)])
        first = [await recv(one) for _ in range(200)]
        assert first == [await recv(two) for _ in range(200)]
        ids = [frame["id"] for frame in first]
        assert ids == sorted(ids, key=lambda text: tuple(map(int, text.split("-"))))
        assert {frame["id"]: frame["data"] for frame in first} == {
            receipt["id"]: str(number) for number, receipt in enumerate(receipts)
        }


async def test_session_over_the_limit_replaces_the_oldest(serve: Serve) -> None:
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
            raise AssertionError("the oldest session is still open")
        assert (await site.send("x"))["sessions"] == 16
        assert await data_of(*tabs[1:]) == ["x"] * 16
