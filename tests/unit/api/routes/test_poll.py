"""api/routes/poll.py: the responses of a long poll, and the sink that collects them."""

import asyncio
from typing import Any

import msgspec
import pytest
from tests.helpers.fakes import ManualClock
from tests.helpers.fakes_asyncio import new_hub, request_head

from headrace import codes
from headrace.api.context import ApiContext
from headrace.api.hub import Hub
from headrace.api.responses import Response
from headrace.api.router import Request
from headrace.api.routes import poll as poll_module
from headrace.api.routes.poll import PollSink, poll
from headrace.errors import (
    ExpiredTokenError,
    InputError,
    InvalidTokenError,
    RevokedTokenError,
    UnavailableError,
)
from headrace.messages.message import ControlMessage, Message
from headrace.messages.position import Position


async def ask(hub: Hub, token: str, query: str = "", method: str = "GET") -> Response:
    head = request_head(method, f"/v1/poll?token={token}{query}")
    return await poll(Request(ApiContext(hub), head, {}, None))


async def asked(hub: Hub, token: str, query: str = "") -> Any:
    return msgspec.json.decode((await ask(hub, token, query)).body)


async def waiting(hub: Hub, token: str, query: str = "") -> "asyncio.Task[Any]":
    """Begin a poll; return when it waits."""
    task = asyncio.create_task(asked(hub, token, query))
    await asyncio.sleep(0)
    assert not task.done()
    assert len(hub.core.sessions) == 1
    return task


async def test_messages_that_are_there_are_returned_at_once() -> None:
    async with new_hub() as hub:
        token = hub.create_channel("ada", groups=["lobby"]).token
        first = await hub.send("1", to="ada")
        second = await hub.send("2", group="lobby")
        assert await asked(hub, token) == {
            "messages": [
                {"id": str(first.id), "data": "1"},
                {"id": str(second.id), "data": "2", "group": "lobby"},
            ],
            "last_id": str(second.id),
        }
        assert hub.core.sessions == {}
        assert (await asked(hub, token, f"&last_id={first.id}"))["messages"] == [
            {"id": str(second.id), "data": "2", "group": "lobby"}
        ]


async def test_it_waits_for_the_next_message_and_includes_the_whole_tick() -> None:
    async with new_hub() as hub:
        task = await waiting(hub, hub.create_channel("ada").token)
        for data in "12":
            await hub.send(data, to="ada")
        assert [message["data"] for message in (await task)["messages"]] == ["1", "2"]
        assert hub.core.sessions == {}


async def test_without_a_message_it_returns_none_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert poll_module.POLL_WAIT_S == 25
    monkeypatch.setattr(poll_module, "POLL_WAIT_S", 0.01)
    async with new_hub() as hub:
        latest = hub.core.history.latest
        answer = await asked(hub, hub.create_channel("ada").token)
        assert answer == {"messages": [], "last_id": str(latest)}


async def test_a_loss_is_reported_at_once() -> None:
    async with new_hub() as hub:
        answer = await asked(hub, hub.create_channel("ada").token, "&last_id=1-0")
        assert answer == {"messages": [], "last_id": answer["last_id"], "recovered": False}


async def test_a_token_that_ends_during_the_poll() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks) as hub:
        channel = hub.create_channel("ada")
        clock.unix_s = channel.expires_at - 0.01
        task = await waiting(hub, channel.token)
        clock.advance(1)
        with pytest.raises(ExpiredTokenError):
            await task
        task = await waiting(hub, hub.create_channel("ada").token)
        await hub.disconnect("ada")
        with pytest.raises(RevokedTokenError):
            await task


async def test_a_shutdown_ends_the_poll() -> None:
    async with new_hub() as hub:
        token = hub.create_channel("ada").token
        task = await waiting(hub, token)
        await hub.drain()
        with pytest.raises(UnavailableError, match="the poll was ended: restart: reconnect"):
            await task
        with pytest.raises(UnavailableError, match="shutting down"):
            await ask(hub, token)


async def test_a_client_that_disconnects_gets_the_messages_with_its_next_poll() -> None:
    async with new_hub() as hub:
        token = hub.create_channel("ada").token
        task = await waiting(hub, token)
        await hub.send("x", to="ada")
        hub.core.flush()  # the sink has it, and the response is never written
        task.cancel()
        await asyncio.wait([task])
        assert hub.core.sessions == {}
        assert [message["data"] for message in (await asked(hub, token))["messages"]] == ["x"]


async def test_a_long_response_leaves_the_rest_to_the_next_poll(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(poll_module, "RESPONSE_MAX_BYTES", 100)
    async with new_hub() as hub:
        token = hub.create_channel("ada").token
        task = await waiting(hub, token)
        for number in range(5):
            await hub.send(str(number) * 60, to="ada")
            hub.core.flush()
        answer = await task
        assert [message["data"][0] for message in answer["messages"]] == ["0", "1"]
        rest = await asked(hub, token, f"&last_id={answer['last_id']}")
        assert [message["data"][0] for message in rest["messages"]] == ["2", "3", "4"]


async def test_head_and_bad_requests_open_no_session() -> None:
    async with new_hub() as hub:
        token = hub.create_channel("ada").token
        response = await ask(hub, token, method="HEAD")
        assert (response.status, response.body) == (200, b"")
        with pytest.raises(InputError):
            await ask(hub, token, "&last_id=x")
        with pytest.raises(InvalidTokenError):
            await ask(hub, "x")
        assert hub.core.sessions == {}


def test_the_sink_collects_messages_and_notes_losses() -> None:
    sink = PollSink()
    sink.deliver(ControlMessage({"type": "open", "recovered": None}), 0)
    sink.deliver(ControlMessage({"type": "ping"}), 0)
    assert (sink.lost, sink.done.is_set()) == (False, False)
    sink.deliver(Message(Position(1, 0), "x"), 0)
    assert sink.items == [b'{"id":"1-0","data":"x"}']
    assert sink.done.is_set()
    for fields in ({"type": "gap"}, {"type": "open", "recovered": False}):
        sink = PollSink()
        sink.deliver(ControlMessage(fields), 0)
        assert sink.lost
    sink.close(codes.RESTART, "x")
    assert (sink.close_code, sink.done.is_set()) == (codes.RESTART, True)


async def test_a_poll_that_was_replaced_tells_its_client_not_to_poll_again() -> None:
    async with new_hub(sessions_per_client=1) as hub:
        token = hub.create_channel("ada").token
        replaced = asyncio.create_task(ask(hub, token))
        await asyncio.sleep(0)
        newer = asyncio.create_task(ask(hub, token))
        response = await replaced
        assert response.status == 409
        problem = msgspec.json.decode(response.body)
        assert problem["code"] == codes.REPLACED
        assert problem["detail"] == codes.REASONS[codes.REPLACED]
        await hub.send("x", to="ada")
        assert (await newer).status == 200
