"""Callbacks: order, concurrency, exceptions, and the shutdown."""

import asyncio
import logging

import aiohttp
import pytest
from tests.helpers.presence_changes import connected, disconnected, expect_unavailable
from tests.helpers.site import API_KEY, SECRET, Site, mint, opened, recv

from headrace.api.hub import Hub
from headrace.errors import (
    ForbiddenError,
    HeadraceError,
    InputError,
    RateLimitedError,
    RequestError,
    StateError,
    TooLargeError,
    UnavailableError,
)
from headrace.hooks.callbacks import Callbacks
from headrace.hub.application import UpdateMessage
from headrace.server.server import Server
from headrace.settings import Settings


def test_created_without_an_event_loop() -> None:
    called: list[str] = []
    callbacks = Callbacks(connected=called.append)

    async def use() -> None:
        connected(callbacks, "a")
        await callbacks.aclose()
        await callbacks.aclose()

    asyncio.run(use())
    assert called == ["a"]


async def test_calls_of_one_client_are_in_order_and_clients_are_concurrent() -> None:
    log: list[str] = []
    may_end = asyncio.Event()

    async def on_connected(client_id: str) -> None:
        log.append(f"{client_id} connecting")
        if client_id == "slow":
            await may_end.wait()
        log.append(f"{client_id} connected")

    callbacks = Callbacks(
        connected=on_connected,
        disconnected=lambda client_id: log.append(f"{client_id} disconnected"),
        message=lambda message: log.append(f"{message.sender} sent {message.data}"),
    )
    connected(callbacks, "slow")
    sending = asyncio.create_task(callbacks.receive(UpdateMessage("slow", "hi")))
    await asyncio.sleep(0)
    disconnected(callbacks, "slow")
    connected(callbacks, "quick")
    disconnected(callbacks, "quick")
    await callbacks.receive(UpdateMessage("quick", "bye"))
    assert log == [
        "slow connecting",
        "quick connecting",
        "quick connected",
        "quick disconnected",
        "quick sent bye",
    ]
    may_end.set()
    await sending
    await callbacks.aclose()
    assert log[5:] == ["slow connected", "slow sent hi", "slow disconnected"]


async def test_presence_changed_calls_no_function_itself() -> None:
    called: list[str] = []
    callbacks = Callbacks(connected=called.append)
    connected(callbacks, "a")
    assert called == []
    await callbacks.aclose()
    assert called == ["a"]


async def test_functions_are_optional() -> None:
    callbacks = Callbacks()
    connected(callbacks, "a")
    disconnected(callbacks, "a")
    with pytest.raises(ForbiddenError, match="`send` claim does not cover"):
        await callbacks.receive(UpdateMessage("a", "x"))
    await callbacks.aclose()


@pytest.mark.parametrize(
    "exception", [LookupError("an error"), asyncio.CancelledError(), StateError("an error")]
)
async def test_an_exception_is_logged_and_the_next_call_is_made(
    exception: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    async def fail(argument: object) -> None:
        raise exception

    callbacks = Callbacks(connected=fail, disconnected=called.append, message=fail)
    connected(callbacks, "a")
    disconnected(callbacks, "a")
    error = await expect_unavailable(callbacks, "a")
    assert "failed to process the message" in str(error)
    assert called == ["a"]
    assert len(caplog.records) == 2
    assert "the data" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        InputError("not a move"),
        TooLargeError("not a move"),
        ForbiddenError("not a move"),
        RateLimitedError("not a move", 1.0),
        UnavailableError("not a move"),
        RequestError(409, "not a move"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_message_function_chooses_the_response(
    error: HeadraceError, caplog: pytest.LogCaptureFixture
) -> None:
    def reject(argument: object) -> None:
        raise error

    callbacks = Callbacks(connected=reject, message=reject)
    with pytest.raises(type(error), match="not a move") as caught:
        await callbacks.receive(UpdateMessage("a", "x"))
    assert caught.value is error
    assert caplog.records == []
    connected(callbacks, "a")  # has no sender, so the error is logged
    await callbacks.aclose()
    assert len(caplog.records) == 1


async def test_a_cancelled_sender_does_not_cancel_the_call() -> None:
    done = []
    may_end = asyncio.Event()

    async def on_message(message: UpdateMessage) -> None:
        await may_end.wait()
        done.append(message.data)

    callbacks = Callbacks(message=on_message)
    task = asyncio.create_task(callbacks.receive(UpdateMessage("a", "x")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    may_end.set()
    await callbacks.receive(UpdateMessage("a", "y"))
    assert done == ["x", "y"]


async def test_aclose_waits_for_a_limited_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("headrace.hooks.callbacks.DRAIN_S", 0.1)
    caplog.set_level(logging.WARNING, "headrace")
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait(_: object) -> None:
        await asyncio.shield(never)

    callbacks = Callbacks(connected=wait, message=wait)
    connected(callbacks, "a", "b")
    message = asyncio.create_task(callbacks.receive(UpdateMessage("a", "x")))
    await asyncio.sleep(0)
    await callbacks.aclose()
    assert "3 callbacks did not finish before the shutdown" in caplog.text
    with pytest.raises(UnavailableError):
        await message
    never.cancel()


async def test_in_a_server() -> None:
    gone: asyncio.Queue[str] = asyncio.Queue()

    async def on_connected(client_id: str) -> None:
        await hub.send(f"Hello, {client_id}", to=client_id)

    async def on_message(message: UpdateMessage) -> None:
        await hub.send(message.data.upper(), to=message.sender)

    hub = Hub(
        Settings(secrets=(SECRET,), api_key=API_KEY, presence_grace_s=0, drain_s=0),
        Callbacks(connected=on_connected, disconnected=gone.put_nowait, message=on_message),
    )
    async with aiohttp.ClientSession() as http:
        async with hub, Server(hub, port=0) as server:
            site = Site(server.url, http)
            async with site.connect(mint()) as client:
                await opened(client)
                assert (await recv(client))["data"] == "Hello, alice"
                assert (await site.post("/v1/messages", {"data": "hi"}, key=mint()))[0] == 202
                assert (await recv(client))["data"] == "HI"
            assert await gone.get() == "alice"
            bob = await site.connect(mint("bob"))
            await opened(bob)
        await bob.wait_closed()
        assert gone.get_nowait() == "bob"  # `async with hub` has waited for the call
