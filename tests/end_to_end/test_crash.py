"""Idempotency keys, IDs and reported losses after restarts and crashes of the server's process."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import aiohttp
import pytest
from tests.checker.message_id import MessageId, format_id, parse_id
from tests.checker.options import Options
from tests.checker.restartable_server import RestartableServer, ShutdownKind
from tests.helpers.site import Json


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RestartableServer]:
    server = RestartableServer(Options(clock_steps=1), tmp_path)
    await server.start()
    yield server
    await server.stop()
    assert server.errors == []


async def post(server: RestartableServer, path: str, body: object) -> Json:
    headers = {"authorization": f"Bearer {server.api_key}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(server.url + path, json=body, headers=headers) as response,
    ):
        assert response.status == 200
        result: Json = await response.json()
        return result


async def send(server: RestartableServer, data: str) -> MessageId:
    receipt = await post(server, "/v1/send", {"to": "alice", "data": data})
    server.latest_id = parse_id(receipt["id"])
    return server.latest_id


async def poll(server: RestartableServer, token: str, last_id: MessageId) -> Json:
    url = f"{server.url}/v1/poll?token={token}&last_id={format_id(last_id)}"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 200
        result: Json = await response.json()
        return result


@pytest.mark.parametrize("kind", [ShutdownKind.RESTART, ShutdownKind.HANDOVER])
async def test_idempotency_key_survives_planned_restart(
    server: RestartableServer, kind: ShutdownKind
) -> None:
    body = {"to": "alice", "data": "once", "idempotency_key": "order 17"}
    first = await post(server, "/v1/send", body)
    await server.restart(kind, Random(1))
    assert await post(server, "/v1/send", body) == first
    assert await post(server, "/v1/send", {**body, "idempotency_key": "order 18"}) != first


@pytest.mark.parametrize("seed", [1, 2])
async def test_ids_are_unique_if_clock_goes_back_at_crash(
    server: RestartableServer, seed: int
) -> None:
    token = (await post(server, "/v1/channels", {"client_id": "alice"}))["token"]
    seen = await send(server, "received")
    lost = await send(server, "lost in the crash")
    await server.restart(ShutdownKind.KILL, Random(seed))
    response = await poll(server, token, seen)
    assert (response["messages"], response["recovered"]) == ([], False)
    new = await send(server, "new")
    assert new > lost
    # A client that reconnects later has an ID from before the crash. It must not be recovered.
    response = await poll(server, token, seen)
    assert response["recovered"] is False
    assert [message["data"] for message in response["messages"]] == ["new"]


async def test_crash_is_reported_even_if_nothing_was_sent(server: RestartableServer) -> None:
    token = (await post(server, "/v1/channels", {"client_id": "alice"}))["token"]
    await server.restart(ShutdownKind.KILL, Random(1))
    started = parse_id((await poll(server, token, (1, 0)))["last_id"])
    await server.restart(ShutdownKind.KILL, Random(2))
    response = await poll(server, token, started)
    assert response["recovered"] is False
    assert parse_id(response["last_id"]) > started
