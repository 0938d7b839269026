"""What holds over the end of a server's process, planned or not."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import aiohttp
import pytest
from tests.checker.ids import Id, parse_id
from tests.checker.options import Options
from tests.checker.server import End, Server
from tests.server.kit import Json


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(Options(clock_steps=1), tmp_path)
    await server.start()
    yield server
    await server.stop()
    assert server.faults == []


async def ask(server: Server, path: str, body: object) -> Json:
    headers = {"authorization": f"Bearer {server.api_key}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(server.url + path, json=body, headers=headers) as answer,
    ):
        assert answer.status == 200
        found: Json = await answer.json()
        return found


async def send(server: Server, data: str) -> Id:
    server.latest = parse_id((await ask(server, "/v1/send", {"to": "alice", "data": data}))["id"])
    return server.latest


async def poll(server: Server, token: str, last_id: Id) -> Json:
    url = f"{server.url}/v1/poll?token={token}&last_id={last_id[0]}-{last_id[1]}"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        assert answer.status == 200
        found: Json = await answer.json()
        return found


@pytest.mark.parametrize("end", [End.RESTART, End.HANDOVER])
async def test_a_send_that_is_repeated_after_a_planned_restart_is_the_same(
    server: Server, end: End
) -> None:
    send = {"to": "alice", "data": "once", "idempotency_key": "order 17"}
    first = await ask(server, "/v1/send", send)
    await server.restart(end, Random(1))
    assert await ask(server, "/v1/send", send) == first
    assert await ask(server, "/v1/send", {**send, "idempotency_key": "order 18"}) != first


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_clock_that_went_back_over_a_crash_makes_no_id_twice(
    server: Server, seed: int
) -> None:
    token = (await ask(server, "/v1/channels", {"client_id": "alice"}))["token"]
    seen = await send(server, "received")
    lost = await send(server, "lost in the crash")
    await server.restart(End.KILL, Random(seed))
    answer = await poll(server, token, seen)
    assert (answer["messages"], answer["recovered"]) == ([], False)
    new = await send(server, "new")
    assert new > lost
    # Whoever comes later has the old order's id too, and must not be told that it fits.
    answer = await poll(server, token, seen)
    assert answer["recovered"] is False
    assert [message["data"] for message in answer["messages"]] == ["new"]


async def test_a_crash_before_anything_was_sent_is_told_too(server: Server) -> None:
    token = (await ask(server, "/v1/channels", {"client_id": "alice"}))["token"]
    await server.restart(End.KILL, Random(1))
    started = parse_id((await poll(server, token, (1, 0)))["last_id"])
    await server.restart(End.KILL, Random(2))
    answer = await poll(server, token, started)
    assert answer["recovered"] is False
    assert parse_id(answer["last_id"]) > started
