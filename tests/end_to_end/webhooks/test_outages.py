"""Outages of the application, and the shutdown."""

import asyncio
import logging
from collections.abc import Awaitable

import pytest
from tests.end_to_end.webhooks.conftest import Connect
from tests.helpers.application import CONNECTED, DISCONNECTED, MESSAGE, FakeApplication
from tests.helpers.presence_changes import connected, disconnected, expect_unavailable

from headrace.errors import UnavailableError
from headrace.hooks.webhooks import Webhooks
from headrace.hub.application import DeliveryStats, UpdateMessage


async def test_an_outage_loses_no_notice_and_ends_with_the_first_response(
    application: FakeApplication,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The probes are 0.2 s apart, but without the end of the outage no client would be retried.
    monkeypatch.setattr("headrace.hooks.outbox.RETRY_WAIT_FIRST_S", 3600.0)
    monkeypatch.setattr("headrace.hooks.outbox.RETRY_WAIT_MAX_S", 3600.0)
    caplog.set_level(logging.INFO, "headrace")
    clients = [f"client {number}" for number in range(200)]
    connected(webhooks, *clients[:100])
    await application.wait_until(lambda: len(application.notices) == 100)
    await application.stop()
    expected = {client: [CONNECTED] for client in clients}
    connected(webhooks, *clients[100:])
    for _ in range(10):
        for client in clients[::3]:
            if expected[client][-1] == CONNECTED:
                disconnected(webhooks, client)
                expected[client].append(DISCONNECTED)
            else:
                connected(webhooks, client)
                expected[client].append(CONNECTED)
        await expect_unavailable(webhooks, clients[0])
    await application.start()
    await application.wait_until(
        lambda: len(application.notices) == sum(map(len, expected.values())), timeout_s=120
    )
    assert {client: application.notices_of(client) for client in clients} == expected
    assert webhooks.delivery_stats().dropped == {"overflow": 0, "rejected": 0}
    texts = [record.getMessage() for record in caplog.records]
    assert len([text for text in texts if "responds again" in text]) == 1
    assert len(texts) <= 4


async def test_over_the_limit_final_states_are_kept_and_dropped_notices_are_logged(
    application: FakeApplication,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("headrace.hooks.pending_notices.NOTICES_MAX_COUNT", 100)
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_IDLE_S", 30.0)
    await application.stop()
    clients = [str(number) for number in range(50)]
    for _ in range(5):
        connected(webhooks, *clients)
        disconnected(webhooks, *clients)
    connected(webhooks, *clients)
    stats = webhooks.delivery_stats()
    assert stats == DeliveryStats(100, 0, {"overflow": 450, "rejected": 0})
    assert 1 < len([r for r in caplog.records if "were dropped" in r.getMessage()]) < 12
    await application.start()
    await webhooks.aclose()
    for client in clients:
        assert application.notices_of(client)[-2:] == [DISCONNECTED, CONNECTED]


async def test_aclose_delivers_pending_notices(
    application: FakeApplication, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_IDLE_S", 30.0)
    clients = [str(number) for number in range(50)]
    connected(webhooks, *clients)
    disconnected(webhooks, *clients)
    await webhooks.aclose()
    assert len(application.notices) == 100


async def test_aclose_continues_while_the_application_accepts_notices(
    application: FakeApplication, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.CONCURRENT_NOTICES", 1)
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_IDLE_S", 1.0)

    async def slowly() -> int:
        await asyncio.sleep(0.3)  # the response time of the application
        return 200

    application.respond = lambda kind, body: slowly()
    connected(webhooks, *"abcdefgh")
    await webhooks.aclose()
    assert len(application.notices) == 8


async def test_aclose_retries_at_once(
    application: FakeApplication,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_IDLE_S", 30.0)
    monkeypatch.setattr("headrace.hooks.outbox.RETRY_WAIT_FIRST_S", 3600.0)
    monkeypatch.setattr("headrace.hooks.outbox.RETRY_WAIT_MAX_S", 3600.0)
    application.respond = lambda kind, body: 200 if kind == MESSAGE else 500
    clients = [str(number) for number in range(10)]
    connected(webhooks, *clients)
    while "status 500 (10 so far)" not in caplog.text:
        await webhooks.receive(UpdateMessage("other", "x"))
    application.respond = lambda kind, body: 200
    await webhooks.aclose()
    assert sorted(application.notices) == [(CONNECTED, client) for client in clients]


async def test_a_client_whose_notices_are_rejected_does_not_hold_up_aclose(
    application: FakeApplication,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_IDLE_S", 3600.0)
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_MAX_S", 3600.0)
    application.headers = {"retry-after": "60"}
    application.respond = lambda kind, body: 503 if "bad" in body else 200
    connected(webhooks, "bad", *map(str, range(50)))
    disconnected(webhooks, "bad", *map(str, range(50)))
    async with asyncio.timeout(30):
        await webhooks.aclose()
    assert len(application.notices) == 100
    assert 1 <= len(application.posts) - len(application.notices) <= 10
    assert caplog.messages[-1] == "2 presence notices were not delivered before the shutdown"


async def test_aclose_makes_the_remaining_attempts(
    application: FakeApplication, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_REJECTED_S", 30.0)
    webhooks = connect(notice_max_attempts=3)
    application.respond = lambda kind, body: 500
    connected(webhooks, "a")
    async with asyncio.timeout(20):
        await webhooks.aclose()
    assert len(application.posts) == 3
    assert webhooks.delivery_stats() == DeliveryStats(0, 0, {"overflow": 0, "rejected": 1})


async def test_aclose_gives_up_and_logs_what_is_lost(
    application: FakeApplication, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    never: Awaitable[int] = asyncio.get_running_loop().create_future()
    application.respond = lambda kind, body: never
    connected(webhooks, "a", "b", "c")
    message = asyncio.create_task(webhooks.receive(UpdateMessage("d", "x")))
    await application.wait_until(lambda: application.in_flight >= 4)
    await webhooks.aclose()
    assert "3 presence notices were not delivered" in caplog.text
    with pytest.raises(UnavailableError, match="shut down before the application responded"):
        await message
    await expect_unavailable(webhooks)
