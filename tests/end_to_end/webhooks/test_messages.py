"""Update-messages: order, one attempt each, limits of bytes and time."""

import asyncio
from collections.abc import Awaitable

import pytest
from tests.helpers.application import CONNECTED, DISCONNECTED, MESSAGE, FakeApplication
from tests.helpers.presence_changes import connected, disconnected, expect_unavailable

from headrace.errors import ForbiddenError, UnavailableError
from headrace.hooks.webhooks import Webhooks
from headrace.hub.application import UpdateMessage


async def test_an_update_message_is_sent_after_its_clients_notice(
    application: FakeApplication, webhooks: Webhooks
) -> None:
    may_respond = asyncio.Event()

    async def wait() -> int:
        await may_respond.wait()
        return 200

    application.respond = lambda kind, body: wait() if kind == CONNECTED else 200
    connected(webhooks, "a")
    sent = [
        asyncio.create_task(webhooks.receive(UpdateMessage("a", str(number))))
        for number in range(10)
    ]
    await application.wait_until(lambda: application.in_flight)
    disconnected(webhooks, "a")
    await webhooks.receive(UpdateMessage("b", "other"))  # of another client
    assert [post.kind for post in application.posts] == [MESSAGE]
    may_respond.set()
    await asyncio.gather(*sent)
    await application.wait_until(lambda: len(application.posts) == 13)
    assert [post.kind for post in application.posts[1:]] == [
        CONNECTED,
        *[MESSAGE] * 10,
        DISCONNECTED,
    ]
    assert [one["data"] for one in application.messages[1:]] == list("0123456789")


async def test_a_message_that_the_application_rejects_is_not_retried(
    application: FakeApplication, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    application.respond = lambda kind, body: 403  # not one that means "no handler"
    error = await expect_unavailable(webhooks)
    assert "does not accept messages now" in str(error)
    await expect_unavailable(webhooks)
    assert len(application.posts) == 2
    assert len(caplog.records) == 1
    assert "the data" not in caplog.text


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_an_application_without_a_handler_for_messages(
    application: FakeApplication,
    webhooks: Webhooks,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    application.respond = lambda kind, body: status
    for _ in range(2):
        with pytest.raises(ForbiddenError, match=f"takes no messages.* status {status}"):
            await webhooks.receive(UpdateMessage("a", "x"))
    assert len(application.posts) == 2
    (text,) = caplog.messages
    assert text.startswith("no handler for /_ah/channel/message/:")


async def test_a_message_waits_for_the_retry_of_a_rejected_notice(
    application: FakeApplication, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    statuses = iter([500])
    application.respond = lambda kind, body: 200 if kind == MESSAGE else next(statuses, 200)
    connected(webhooks, "a")
    while "status 500" not in caplog.text:
        await webhooks.receive(UpdateMessage("b", "x"))  # of another client
    await webhooks.receive(UpdateMessage("a", "last"))
    assert [post.status for post in application.posts if post.kind == CONNECTED] == [500, 200]
    assert application.messages[-1] == {"from": "a", "data": "last"}


async def test_a_response_to_a_message_ends_an_outage(
    application: FakeApplication, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.hooks.outbox.PROBE_WAIT_MAX_S", 3600.0)
    monkeypatch.setattr("headrace.hooks.outbox.RETRY_WAIT_FIRST_S", 3600.0)
    monkeypatch.setattr("headrace.hooks.outbox.RETRY_WAIT_MAX_S", 3600.0)
    await application.stop()
    connected(webhooks, *"abcdef")
    await expect_unavailable(webhooks, "f")  # its notice is sent last
    await application.start()
    application.respond = lambda kind, body: 500 if kind == MESSAGE else 200
    await expect_unavailable(webhooks, "g")
    await application.wait_until(lambda: len(application.notices) == 6)


async def test_an_application_that_is_down(
    application: FakeApplication, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    await application.stop()
    await expect_unavailable(webhooks)
    connected(webhooks, "alice")
    await expect_unavailable(webhooks)
    await application.start()
    await application.wait_for_notices((CONNECTED, "alice"))
    await webhooks.receive(UpdateMessage("alice", "x"))


async def test_a_message_retries_the_notice_before_it_at_once(
    application: FakeApplication, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.hooks.outbox.RETRY_WAIT_FIRST_S", 3600.0)
    monkeypatch.setattr("headrace.hooks.outbox.RETRY_WAIT_MAX_S", 3600.0)
    await application.stop()
    connected(webhooks, "alice")
    await expect_unavailable(webhooks)
    await application.start()
    await webhooks.receive(UpdateMessage("alice", "x"))
    assert [post.kind for post in application.posts] == [CONNECTED, MESSAGE]


async def test_over_the_limit_of_waiting_bytes_messages_are_rejected(
    application: FakeApplication, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.hooks.message_sender.MESSAGES_MAX_BYTES", 100)
    may_respond = asyncio.Event()

    async def wait() -> int:
        await may_respond.wait()
        return 200

    application.respond = lambda kind, body: wait()
    first = asyncio.create_task(webhooks.receive(UpdateMessage("a", "x" * 70)))
    await application.wait_until(lambda: application.in_flight)
    await expect_unavailable(webhooks)
    may_respond.set()
    await first
    await webhooks.receive(UpdateMessage("a", "x" * 70))


async def test_a_cancelled_sender_does_not_block_the_queue(
    application: FakeApplication, webhooks: Webhooks
) -> None:
    never: Awaitable[int] = asyncio.get_running_loop().create_future()
    application.respond = lambda kind, body: never if "first" in body else 200
    first = asyncio.create_task(webhooks.receive(UpdateMessage("a", "first")))
    second = asyncio.create_task(webhooks.receive(UpdateMessage("a", "second")))
    third = asyncio.create_task(webhooks.receive(UpdateMessage("a", "third")))
    await application.wait_until(lambda: application.in_flight)
    second.cancel()
    first.cancel()
    await third
    assert [one["data"] for one in application.messages] == ["third"]
    assert first.cancelled()
    assert second.cancelled()


async def test_the_limit_per_client_leaves_room_for_others(
    application: FakeApplication, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.hooks.message_sender.MESSAGES_PER_CLIENT_MAX_BYTES", 4000)
    may_respond = asyncio.Event()

    async def wait() -> int:
        await may_respond.wait()
        return 200

    application.respond = lambda kind, body: wait()
    waiting = [
        asyncio.create_task(webhooks.receive(UpdateMessage("greedy", "x" * 1000))) for _ in range(4)
    ]
    await application.wait_until(lambda: application.in_flight)
    with pytest.raises(UnavailableError, match="the client's messages"):
        await webhooks.receive(UpdateMessage("greedy", "x"))
    waiting.append(asyncio.create_task(webhooks.receive(UpdateMessage("modest", "y"))))
    await application.wait_until(lambda: application.in_flight == 2)
    may_respond.set()
    await asyncio.gather(*waiting)
    await webhooks.receive(UpdateMessage("greedy", "x"))


async def test_messages_that_time_out_in_the_queue_are_not_logged_as_failures(
    application: FakeApplication,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.ATTEMPT_TIMEOUT_S", 0.3)

    async def slow() -> int:
        await asyncio.sleep(0.1)  # the response time of the application
        return 200

    application.respond = lambda kind, body: slow()
    results = await asyncio.gather(
        *[webhooks.receive(UpdateMessage("flood", str(number))) for number in range(20)],
        return_exceptions=True,
    )
    assert 0 < results.count(None) < 20
    assert {type(one) for one in results} == {type(None), UnavailableError}
    timeouts = [text for text in caplog.messages if "did not respond in time" in text]
    assert len(timeouts) <= 1  # of the message that was in flight
