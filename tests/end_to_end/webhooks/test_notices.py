"""Presence notices: accepted responses, retries, concurrency and timeouts."""

import asyncio
import logging

import pytest
from tests.end_to_end.webhooks.conftest import Connect
from tests.helpers.application import CONNECTED, DISCONNECTED, FakeApplication
from tests.helpers.presence_changes import connected, disconnected, expect_unavailable
from tests.helpers.site import SECRET

from headrace.hooks import outbox
from headrace.hooks import webhooks as webhooks_module
from headrace.hooks.webhooks import Webhooks
from headrace.hub.application import DeliveryStats, UpdateMessage


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_accepted(
    application: FakeApplication, webhooks: Webhooks, status: int
) -> None:
    application.respond = lambda kind, body: status
    connected(webhooks, "a")
    await application.wait_for_notices((CONNECTED, "a"))
    await webhooks.receive(UpdateMessage("a", "x"))
    assert (webhooks.pending, webhooks.delivered) == (0, 1)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 408, 429, 500, 502, 503])
async def test_any_other_status_is_retried_and_logged_once(
    application: FakeApplication,
    webhooks: Webhooks,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "headrace")
    application.headers = {"location": "/elsewhere"} if status < 400 else {}
    statuses = iter([status] * 4)
    application.respond = lambda kind, body: next(statuses, 200)
    connected(webhooks, "a")
    await application.wait_for_notices((CONNECTED, "a"))
    await webhooks.aclose()
    assert [post.status for post in application.posts] == [status] * 4 + [200]
    (text,) = [record.getMessage() for record in caplog.records]
    assert f"status {status}" in text
    assert "/_ah/channel/connected/" in text
    assert ("app_url" in text) is (status < 400)


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_without_a_handler_each_notice_is_sent_once_and_each_path_is_logged_once(
    application: FakeApplication,
    webhooks: Webhooks,
    status: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_IDLE_S", 3600.0)  # `aclose` needs no wait
    application.respond = lambda kind, body: status
    clients = [str(number) for number in range(20)]
    connected(webhooks, *clients)
    disconnected(webhooks, *clients)
    await webhooks.aclose()
    sent = sorted((post.kind, post.client_id) for post in application.posts)
    assert sent == sorted(
        (kind, client) for kind in (CONNECTED, DISCONNECTED) for client in clients
    )
    assert webhooks.delivery_stats() == DeliveryStats(0, 40, {"overflow": 0, "rejected": 0})
    assert sorted(caplog.messages) == [
        f"no handler for /_ah/channel/{kind}/: the application responded with status {status}"
        for kind in (CONNECTED, DISCONNECTED)
    ]


async def test_after_the_last_attempt_a_notice_is_dropped_counted_and_logged(
    application: FakeApplication, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    webhooks = connect(notice_max_attempts=3)
    application.respond = lambda kind, body: 500 if kind == CONNECTED else 200
    connected(webhooks, "a")
    disconnected(webhooks, "a")
    await application.wait_for_notices((DISCONNECTED, "a"))
    assert [post.kind for post in application.posts] == [CONNECTED] * 3 + [DISCONNECTED]
    await webhooks.receive(UpdateMessage("a", "x"))
    assert webhooks.delivery_stats() == DeliveryStats(0, 1, {"overflow": 0, "rejected": 1})
    assert "1 presence notices were dropped, each after 3 attempts" in caplog.messages[-1]
    assert "status 500" in caplog.messages[-1]


async def test_an_application_that_is_down_uses_up_no_attempts(
    application: FakeApplication, connect: Connect
) -> None:
    webhooks = connect(notice_max_attempts=1)
    await application.stop()
    connected(webhooks, "a")
    for _ in range(3):
        await expect_unavailable(webhooks, "a")
    await application.start()
    await application.wait_for_notices((CONNECTED, "a"))


async def test_retry_after_is_honoured_up_to_the_longest_wait(
    application: FakeApplication, webhooks: Webhooks
) -> None:
    application.headers = {"retry-after": "60"}  # longer than RETRY_WAIT_MAX_S
    statuses = iter([429])
    application.respond = lambda kind, body: next(statuses, 200)
    loop = asyncio.get_running_loop()
    started = loop.time()
    connected(webhooks, "a")
    await application.wait_for_notices((CONNECTED, "a"))
    assert loop.time() - started >= outbox.RETRY_WAIT_MAX_S


async def test_the_number_of_notices_in_flight_is_limited(
    application: FakeApplication, webhooks: Webhooks
) -> None:
    may_respond = asyncio.Event()

    async def wait() -> int:
        await may_respond.wait()
        return 200

    application.respond = lambda kind, body: wait()
    connected(webhooks, *[str(number) for number in range(100)])
    await application.wait_until(
        lambda: application.in_flight >= webhooks_module.CONCURRENT_NOTICES
    )
    may_respond.set()
    await application.wait_until(lambda: len(application.notices) == 100)
    assert application.max_in_flight == webhooks_module.CONCURRENT_NOTICES


async def test_three_clients_whose_notices_are_rejected_do_not_delay_others(
    application: FakeApplication, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RETRY_WAIT_FIRST_S", "RETRY_WAIT_MAX_S", "PROBE_WAIT_MAX_S"):
        monkeypatch.setattr(f"headrace.hooks.outbox.{name}", 3600.0)  # an outage would not end
    webhooks = connect()
    application.respond = lambda kind, body: 500 if "bad" in body else 200
    connected(webhooks, "bad 1", "bad 2", "bad 3")
    await application.wait_until(lambda: len(application.posts) >= 3)
    for number in range(20):
        connected(webhooks, str(number))
        await application.wait_until(lambda n=number: len(application.notices) == n + 1)  # type: ignore[misc]  # a default binds it
    assert len(application.posts) == 23


async def test_an_attempt_that_hangs_times_out_and_is_retried(
    application: FakeApplication,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.ATTEMPT_TIMEOUT_S", 0.2)
    hangs = True

    async def hang() -> int:
        if hangs:
            await asyncio.Event().wait()
        return 200

    application.respond = lambda kind, body: hang()
    connected(webhooks, "a")
    await expect_unavailable(webhooks, "b")
    assert "did not respond in time" in caplog.text
    hangs = False
    await application.wait_for_notices((CONNECTED, "a"))


async def test_only_the_status_of_an_endless_response_counts() -> None:
    seen = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"from=a")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n" + b"x" * 200_000)
        seen.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    webhooks = Webhooks(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", [SECRET])
    connected(webhooks, "a")
    await seen.wait()
    await webhooks.aclose()
    assert (webhooks.delivered, webhooks.pending) == (1, 0)
    server.close()
    await server.wait_closed()
