"""headrace.server.callbacks: order, independence, faults, and the end."""

import asyncio
import logging

import pytest
from tests.server.conftest import Serve
from tests.server.kit import mint, opened, recv

from headrace import limits
from headrace.application import UpdateMessage
from headrace.entries import Entry
from headrace.errors import RequestError
from headrace.presence import Change
from headrace.server import Callbacks


def come(callbacks: Callbacks, *client_ids: str) -> None:
    for client_id in client_ids:
        callbacks.presence_changed(Change(client_id, connected=True))


def go(callbacks: Callbacks, *client_ids: str) -> None:
    for client_id in client_ids:
        callbacks.presence_changed(Change(client_id, connected=False))


async def test_one_client_s_calls_come_one_after_the_other_and_others_do_not_wait() -> None:
    log: list[str] = []
    may_end = asyncio.Event()

    async def connected(client_id: str) -> None:
        log.append(f"{client_id} begins to come")
        if client_id == "slow":
            await may_end.wait()
        log.append(f"{client_id} has come")

    callbacks = Callbacks(
        connected=connected,
        disconnected=lambda client_id: log.append(f"{client_id} has gone"),
        message=lambda message: log.append(f"{message.sender} says {message.data}"),
    )
    come(callbacks, "slow")
    says = asyncio.create_task(callbacks.receive(UpdateMessage("slow", "hi")))
    await asyncio.sleep(0)
    go(callbacks, "slow")
    come(callbacks, "quick")
    go(callbacks, "quick")
    await callbacks.receive(UpdateMessage("quick", "bye"))
    assert log == [
        "slow begins to come",
        "quick begins to come",
        "quick has come",
        "quick has gone",
        "quick says bye",
    ]
    may_end.set()
    await says
    await callbacks.aclose()
    assert log[5:] == ["slow has come", "slow says hi", "slow has gone"]


async def test_nothing_is_called_while_a_change_is_told() -> None:
    called: list[str] = []
    callbacks = Callbacks(connected=called.append)
    come(callbacks, "a")
    assert called == []
    await callbacks.aclose()
    assert called == ["a"]


async def test_functions_that_are_not_given_are_not_missed() -> None:
    callbacks = Callbacks()
    come(callbacks, "a")
    go(callbacks, "a")
    with pytest.raises(RequestError) as caught:
        await callbacks.receive(UpdateMessage("a", "x"))
    assert caught.value.status == 403
    await callbacks.aclose()


@pytest.mark.parametrize("fault", [LookupError("a fault"), asyncio.CancelledError()])
async def test_a_fault_is_logged_and_what_comes_after_it_is_called(
    fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    async def fails(what: object) -> None:
        raise fault

    callbacks = Callbacks(connected=fails, disconnected=called.append, message=fails)
    come(callbacks, "a")
    go(callbacks, "a")
    with pytest.raises(RequestError, match="failed on the message") as caught:
        await callbacks.receive(UpdateMessage("a", "the data"))
    assert caught.value.status == 503
    assert dict(caught.value.headers)["retry-after"]
    assert called == ["a"]
    assert len(caplog.records) == 2
    assert "the data" not in caplog.text


async def test_a_message_function_may_choose_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(what: object) -> None:
        raise RequestError(409, "not now")

    callbacks = Callbacks(connected=refuse, message=refuse)
    with pytest.raises(RequestError, match="not now"):
        await callbacks.receive(UpdateMessage("a", "x"))
    assert caplog.records == []
    come(callbacks, "a")  # nobody waits for an answer: it is a fault
    await callbacks.aclose()
    assert len(caplog.records) == 1


async def test_a_sender_that_goes_cuts_nothing_short() -> None:
    done = []
    may_end = asyncio.Event()

    async def hear(message: UpdateMessage) -> None:
        await may_end.wait()
        done.append(message.data)

    callbacks = Callbacks(message=hear)
    task = asyncio.create_task(callbacks.receive(UpdateMessage("a", "x")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    may_end.set()
    await callbacks.receive(UpdateMessage("a", "y"))
    assert done == ["x", "y"]


async def test_the_end_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 0.1)
    caplog.set_level(logging.WARNING, "headrace")
    waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait(_: object) -> None:
        await asyncio.shield(waits)

    callbacks = Callbacks(connected=wait, message=wait)
    come(callbacks, "a", "b")
    message = asyncio.create_task(callbacks.receive(UpdateMessage("a", "x")))
    await asyncio.sleep(0)
    await callbacks.aclose()
    assert "3 callbacks were cut short or never called" in caplog.text
    with pytest.raises(RequestError) as caught:
        await message
    assert caught.value.status == 503
    waits.cancel()


async def test_in_a_server(serve: Serve) -> None:
    site = await serve(presence_grace_s=0)
    gone: asyncio.Queue[str] = asyncio.Queue()

    async def welcome(client_id: str) -> None:
        await site.server.hub.publish(Entry(data=f"Hello, {client_id}", to=(client_id,)))

    async def hear(message: UpdateMessage) -> None:
        await site.server.hub.publish(Entry(data=message.data.upper(), to=(message.sender,)))

    site.server.hub.application = Callbacks(
        connected=welcome, disconnected=gone.put_nowait, message=hear
    )
    async with site.connect(mint()) as client:
        await opened(client)
        assert (await recv(client))["data"] == "Hello, alice"
        assert (await site.post("/v1/messages", {"data": "hi"}, key=mint()))[0] == 202
        assert (await recv(client))["data"] == "HI"
        await client.close()
        assert await gone.get() == "alice"
    async with site.connect(mint("bob")) as client:
        await opened(client)
        await site.server.stop()
    assert await gone.get() == "bob"
