"""The frames of `headrace.v1` have exactly the documented fields; bare clients get only data."""

import asyncio
import json
import time

import jwt
import msgspec
import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.client_bytes import client_frame
from tests.helpers.site import Site, mint, opened, recv
from tests.helpers.wire import handshake, request, wire

OPEN_FIELDS = ["type", "client_id", "id", "recovered", "expires_at", "ping_interval"]


async def test_open_of_a_fresh_connection(site: Site) -> None:
    exp = time.time() + 3600
    async with site.connect(mint("al/ice", exp=exp)) as client:
        assert client.subprotocol == "headrace.v1"
        frame = await recv(client)
    assert list(frame) == OPEN_FIELDS
    assert frame["type"] == "open"
    assert frame["client_id"] == "al/ice"
    assert frame["id"] == str(site.core.history.latest)
    assert frame["recovered"] is None
    assert frame["expires_at"] == exp
    assert frame["ping_interval"] == 25


async def test_message_has_an_id_and_its_group(site: Site) -> None:
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
    ids = [tuple(map(int, sent["id"].split("-"))) for sent in (first, second, third)]
    assert ids == sorted(set(ids))
    assert abs(ids[0][0] / 1000 - time.time()) < 60


async def test_resume_delivers_missed_messages(site: Site) -> None:
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
        await site.send("next")
        assert (await recv(client))["data"] == "next"


@pytest.mark.parametrize("path", ["/v1/connect", "/v1/events", "/v1/poll"])
async def test_retry_of_a_first_connection_starts_where_the_first_attempt_did(
    site: Site, path: str
) -> None:
    async with site.connect(mint()) as earlier:
        await opened(earlier)
    while site.core.sessions:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)
    await site.send("between the pages")
    token = await site.channel()
    pos = jwt.decode(token, options={"verify_signature": False})["pos"]
    to_the_page = await site.send("to the page")

    async def read_until_message() -> bytes:
        target = f"?since={pos}"
        async with wire(site.port) as client, asyncio.timeout(5):
            if path == "/v1/connect":
                await client.write(handshake(token, query=target))
            else:
                await client.write(request("GET", f"{path}{target}&token={token}"))
            received = b""
            while to_the_page["id"].encode() not in received:
                received += await client.read_some()
        while site.core.sessions:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        return received

    for _ in range(3):  # the first attempt may be refused, later ones may be lost
        assert b"between the pages" in await read_until_message()


async def test_resume_from_before_the_history_is_not_recovered(
    serve: Serve,
) -> None:
    site = await serve(history_max_bytes=4000)
    token = await site.channel()
    first = await site.send("x" * 1000)
    for _ in range(9):
        await site.send("x" * 1000)
    async with site.connect(token, f"?last_id={first['id']}") as client:
        assert (await opened(client))["recovered"] is False


async def test_renewal_is_answered_with_open(site: Site) -> None:
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


async def test_ping_and_reconnect(serve: Serve) -> None:
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


async def test_bare_frames_are_only_the_data(serve: Serve) -> None:
    site = await serve(ping_interval_s=0.3)
    async with wire(site.port) as client:
        await client.upgrade(await site.channel(groups=["g"]), v1=False)
        opcode, payload = await client.read_frame()  # the first frame is a protocol ping
        assert (opcode, payload) == (0x9, b"")
        await client.write(client_frame(0xA, b""))
        await site.send('{"type":"ping"}', group="g")
        assert await client.read_text() == '{"type":"ping"}'
        await site.server.stop()
        assert await client.read_close_code() == 1012


async def test_frames_in_the_segment_of_the_handshake(site: Site) -> None:
    exp = time.time() + 7000
    renew = msgspec.json.encode({"type": "renew", "token": mint(exp=exp)})
    async with wire(site.port) as client:
        await client.write(handshake(mint()) + client_frame(0x1, renew) + client_frame(0x9, b"p"))
        assert (await client.read_response(has_body=False)).status == 101
        assert (await client.read_json())["type"] == "open"
        second = await client.read_json()
        assert (second["type"], second["expires_at"]) == ("open", exp)
        assert await client.read_frame() == (0xA, b"p")
