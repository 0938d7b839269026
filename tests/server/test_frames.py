"""Every frame of `headrace.v1` has exactly the contract's fields; a bare client gets data alone."""

import asyncio
import json
import time

import jwt
import msgspec
import pytest
from tests.server.conftest import Serve
from tests.server.kit import Site, mint, opened, recv
from tests.server.wire import handshake, masked, request, wire

OPEN_FIELDS = ["type", "client_id", "id", "recovered", "expires_at", "ping_interval"]


async def test_open_of_a_fresh_connection(site: Site) -> None:
    exp = time.time() + 3600
    async with site.connect(mint("al/ice", exp=exp)) as client:
        assert client.subprotocol == "headrace.v1"
        frame = await recv(client)
    assert list(frame) == OPEN_FIELDS
    assert frame["type"] == "open"
    assert frame["client_id"] == "al/ice"
    assert frame["id"] == str(site.server.hub.history.latest)
    assert frame["recovered"] is None
    assert frame["expires_at"] == exp
    assert frame["ping_interval"] == 25


async def test_messages_have_an_id_and_the_group_they_came_through(site: Site) -> None:
    async with site.connect(await site.channel(groups=["lobby"])) as client:
        await opened(client)
        first = await site.send("to one")
        second = await site.send("to the group", group="lobby")
        third = await site.send("to all", everyone=True)
        assert [json.loads(await client.recv()) for _ in range(3)] == [
            {"id": first["id"], "data": "to one"},
            {"id": second["id"], "data": "to the group", "group": "lobby"},
            {"id": third["id"], "data": "to all"},
        ]
    places = [tuple(map(int, sent["id"].split("-"))) for sent in (first, second, third)]
    assert places == sorted(set(places))
    assert abs(places[0][0] / 1000 - time.time()) < 60


async def test_resume_gives_what_was_missed_and_says_that_it_is_all(site: Site) -> None:
    token = await site.channel()
    async with site.connect(token) as client:
        await opened(client)
        await site.send("seen")
        seen = (await recv(client))["id"]
    missed = [(await site.send(str(number)))["id"] for number in range(3)]
    async with site.connect(token, f"?last_id={seen}") as client:
        frame = await opened(client)
        assert frame["recovered"] is True
        assert frame["id"] == seen
        for number, message_id in enumerate(missed):
            assert await recv(client) == {"id": message_id, "data": str(number)}
    async with site.connect(token, f"?last_id={missed[-1]}") as client:
        assert (await opened(client))["recovered"] is True
        await site.send("the next")
        assert (await recv(client))["data"] == "the next"


@pytest.mark.parametrize("path", ["/v1/connect", "/v1/events", "/v1/poll"])
async def test_a_client_whose_first_session_was_lost_unseen_begins_where_that_did(
    site: Site, path: str
) -> None:
    async with site.connect(mint()) as earlier_page:
        await opened(earlier_page)
    while site.server.hub.sessions:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0)
    await site.send("between the pages")
    token = await site.channel()
    pos = jwt.decode(token, options={"verify_signature": False})["pos"]
    to_the_page = await site.send("to the page")

    async def first_words() -> bytes:
        target = f"?since={pos}"
        async with wire(site.port) as client, asyncio.timeout(5):
            if path == "/v1/connect":
                await client.write(handshake(token, query=target))
            else:
                await client.write(request("GET", f"{path}{target}&token={token}"))
            words = b""
            while to_the_page["id"].encode() not in words:
                words += await client.read_some()
        while site.server.hub.sessions:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
        return words

    for _ in range(3):  # the first attempt of these may have been refused, the others may break
        assert b"between the pages" in await first_words()


async def test_resume_from_before_the_history_says_that_something_may_be_lost(
    serve: Serve,
) -> None:
    site = await serve(history_max_bytes=4000)
    token = await site.channel()
    first = await site.send("x" * 1000)
    for _ in range(9):
        await site.send("x" * 1000)
    async with site.connect(token, f"?last_id={first['id']}") as client:
        assert (await opened(client))["recovered"] is False


async def test_a_renewal_is_answered_by_a_new_open(site: Site) -> None:
    exp = time.time() + 7000
    async with site.connect(mint(groups=["old"])) as client:
        await opened(client)
        sent = await site.send("one")
        await recv(client)
        renewed = mint(exp=exp, groups=["new"])
        await client.send(json.dumps({"type": "renew", "token": renewed}))
        assert await recv(client) == {
            "type": "open",
            "client_id": "alice",
            "id": sent["id"],
            "recovered": None,
            "expires_at": exp,
            "ping_interval": 25,
        }
        assert (await site.send("x", group="old"))["sessions"] == 0
        assert (await site.send("y", group="new"))["sessions"] == 1


async def test_ping_and_reconnect_notices(serve: Serve) -> None:
    site = await serve(ping_interval_s=0.3)
    async with site.connect(await site.channel()) as client:
        assert (await opened(client))["ping_interval"] == 0.3
        assert await client.recv() == '{"type":"ping"}'
        await site.server.stop()
        frame = await recv(client)
        assert list(frame) == ["type", "delay_ms"]
        assert frame["type"] == "reconnect"
        assert isinstance(frame["delay_ms"], int)
        await client.wait_closed()
        assert client.close_code == 1012


async def test_bare_frames_are_the_data_and_nothing_else(serve: Serve) -> None:
    site = await serve(ping_interval_s=0.3)
    async with wire(site.port) as client:
        await client.upgrade(await site.channel(groups=["g"]), v1=False)
        opcode, payload = await client.frame()  # the first thing that comes is a protocol ping
        assert (opcode, payload) == (0x9, b"")
        await client.write(masked(0xA, b""))
        await site.send('{"type":"ping"}', group="g")
        assert await client.text() == '{"type":"ping"}'
        await site.server.stop()
        assert await client.close_code() == 1012


async def test_frames_behind_the_handshake_in_its_own_segment_are_kept(site: Site) -> None:
    exp = time.time() + 7000
    renew = msgspec.json.encode({"type": "renew", "token": mint(exp=exp)})
    async with wire(site.port) as client:
        await client.write(handshake(mint()) + masked(0x1, renew) + masked(0x9, b"p"))
        assert (await client.reply(has_body=False)).status == 101
        assert (await client.json())["type"] == "open"
        second = await client.json()
        assert (second["type"], second["expires_at"]) == ("open", exp)
        assert await client.frame() == (0xA, b"p")
