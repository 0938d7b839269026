"""Update-messages: in their order, once, and never for long."""

import asyncio
from collections.abc import Awaitable

import pytest
from tests.server.application import CAME, MESSAGE, WENT, Application
from tests.server.webhooks.steps import come, go, refusal

from headrace import limits
from headrace.application import UpdateMessage
from headrace.errors import RequestError
from headrace.webhooks import Webhooks


async def test_an_update_message_does_not_overtake_its_client_s_notice(
    application: Application, webhooks: Webhooks
) -> None:
    may_answer = asyncio.Event()

    async def wait() -> int:
        await may_answer.wait()
        return 200

    application.answer = lambda kind, body: wait() if kind == CAME else 200
    come(webhooks, "a")
    sent = [
        asyncio.create_task(webhooks.receive(UpdateMessage("a", str(number))))
        for number in range(10)
    ]
    await application.until(lambda: application.under_way)
    go(webhooks, "a")
    await webhooks.receive(UpdateMessage("b", "other"))  # others do not wait
    assert [post.kind for post in application.posts] == [MESSAGE]
    may_answer.set()
    await asyncio.gather(*sent)
    await application.until(lambda: len(application.posts) == 13)
    assert [post.kind for post in application.posts[1:]] == [CAME, *[MESSAGE] * 10, WENT]
    assert [one["data"] for one in application.messages[1:]] == list("0123456789")


async def test_a_message_the_application_refuses_is_503_and_is_not_repeated(
    application: Application, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    application.answer = lambda kind, body: 403
    error = await refusal(webhooks)
    assert "does not take messages now" in error.detail
    await refusal(webhooks)
    assert len(application.posts) == 2
    assert len(caplog.records) == 1
    assert "the data" not in caplog.text


async def test_an_application_that_cannot_be_reached(
    application: Application, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    await application.down()
    await refusal(webhooks)
    come(webhooks, "alice")
    await refusal(webhooks)
    await application.up()
    await application.until_told((CAME, "alice"))
    await webhooks.receive(UpdateMessage("alice", "x"))


async def test_a_message_finds_an_application_that_has_just_come_back(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICE_WAIT_FIRST_S", 3600.0)
    monkeypatch.setattr(limits, "NOTICE_WAIT_MAX_S", 3600.0)
    await application.down()
    come(webhooks, "alice")
    await refusal(webhooks)
    await application.up()
    await webhooks.receive(UpdateMessage("alice", "x"))
    assert [post.kind for post in application.posts] == [CAME, MESSAGE]


async def test_too_many_bytes_that_wait_are_refused(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MESSAGES_WAITING_MAX_BYTES", 100)
    may_answer = asyncio.Event()

    async def wait() -> int:
        await may_answer.wait()
        return 200

    application.answer = lambda kind, body: wait()
    first = asyncio.create_task(webhooks.receive(UpdateMessage("a", "x" * 70)))
    await application.until(lambda: application.under_way)
    await refusal(webhooks)
    may_answer.set()
    await first
    await webhooks.receive(UpdateMessage("a", "x" * 70))


async def test_a_sender_that_goes_leaves_the_way_free(
    application: Application, webhooks: Webhooks
) -> None:
    never: Awaitable[int] = asyncio.get_running_loop().create_future()
    application.answer = lambda kind, body: never if "first" in body else 200
    first = asyncio.create_task(webhooks.receive(UpdateMessage("a", "first")))
    second = asyncio.create_task(webhooks.receive(UpdateMessage("a", "second")))
    third = asyncio.create_task(webhooks.receive(UpdateMessage("a", "third")))
    await application.until(lambda: application.under_way)
    second.cancel()
    first.cancel()
    await third
    assert [one["data"] for one in application.messages] == ["third"]
    assert first.cancelled()
    assert second.cancelled()


async def test_one_client_s_messages_leave_room_for_others(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MESSAGES_WAITING_OF_ONE_MAX_BYTES", 4000)
    may_answer = asyncio.Event()

    async def wait() -> int:
        await may_answer.wait()
        return 200

    application.answer = lambda kind, body: wait()
    waiting = [
        asyncio.create_task(webhooks.receive(UpdateMessage("greedy", "x" * 1000))) for _ in range(4)
    ]
    await application.until(lambda: application.under_way)
    with pytest.raises(RequestError, match="too many wait"):
        await webhooks.receive(UpdateMessage("greedy", "x"))
    waiting.append(asyncio.create_task(webhooks.receive(UpdateMessage("modest", "y"))))
    await application.until(lambda: application.under_way == 2)
    may_answer.set()
    await asyncio.gather(*waiting)
    await webhooks.receive(UpdateMessage("greedy", "x"))


async def test_a_client_whose_own_messages_are_too_many_is_no_fault_of_the_application(
    application: Application,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(limits, "NOTICE_TIMEOUT_S", 0.3)

    async def slow() -> int:
        await asyncio.sleep(0.1)  # how slow the application is
        return 200

    application.answer = lambda kind, body: slow()
    results = await asyncio.gather(
        *[webhooks.receive(UpdateMessage("flood", str(number))) for number in range(20)],
        return_exceptions=True,
    )
    assert 0 < results.count(None) < 20
    assert {type(one) for one in results} == {type(None), RequestError}
    cut_short = [text for text in caplog.messages if "does not answer in time" in text]
    assert len(cut_short) <= 1  # the one that was under way
