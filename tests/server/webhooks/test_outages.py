"""An application that is down, and the end of the server."""

import asyncio
import logging
from collections.abc import Awaitable

import pytest
from tests.server.application import CAME, WENT, Application
from tests.server.webhooks.steps import come, go, refusal

from headrace import limits
from headrace.application import UpdateMessage
from headrace.errors import RequestError
from headrace.webhooks import Webhooks


async def test_a_down_application_loses_nothing_and_recovers_quickly(
    application: Application, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "headrace")
    clients = [f"client {number}" for number in range(200)]
    come(webhooks, *clients[:100])
    await application.until(lambda: len(application.notices) == 100)
    await application.down()
    expected = {client: [CAME] for client in clients}
    come(webhooks, *clients[100:])
    for _ in range(10):
        for client in clients[::3]:
            if expected[client][-1] == CAME:
                go(webhooks, client)
                expected[client].append(WENT)
            else:
                come(webhooks, client)
                expected[client].append(CAME)
        await refusal(webhooks, clients[0])
    loop = asyncio.get_running_loop()
    await application.up()
    started = loop.time()
    await application.until(lambda: len(application.notices) == sum(map(len, expected.values())))
    assert loop.time() - started < 20
    assert {client: application.notices_of(client) for client in clients} == expected
    assert webhooks.dropped == 0
    texts = [record.getMessage() for record in caplog.records]
    assert len([text for text in texts if "answers again" in text]) == 1
    assert len(texts) <= 4


async def test_past_the_bound_final_states_survive_and_the_log_says_how_many_did_not(
    application: Application,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(limits, "NOTICES_MAX_COUNT", 100)
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 30.0)
    await application.down()
    clients = [str(number) for number in range(50)]
    for _ in range(5):
        come(webhooks, *clients)
        go(webhooks, *clients)
    come(webhooks, *clients)
    assert (webhooks.waiting, webhooks.dropped) == (100, 450)
    assert 1 < len([r for r in caplog.records if "were dropped" in r.getMessage()]) < 12
    await application.up()
    await webhooks.aclose()
    for client in clients:
        assert application.notices_of(client)[-2:] == [WENT, CAME]


async def test_the_end_waits_for_what_waits(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 30.0)
    clients = [str(number) for number in range(50)]
    come(webhooks, *clients)
    go(webhooks, *clients)
    await webhooks.aclose()
    assert len(application.notices) == 100


async def test_the_end_goes_on_for_as_long_as_the_application_takes_them(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICES_AT_A_TIME", 1)
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 1.0)

    async def slowly() -> int:
        await asyncio.sleep(0.3)  # how slow the application is
        return 200

    application.answer = lambda kind, body: slowly()
    come(webhooks, *"abcdefgh")
    await webhooks.aclose()
    assert len(application.notices) == 8


async def test_the_end_does_not_wait_for_a_long_wait_to_be_over(
    application: Application, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 30.0)
    monkeypatch.setattr(limits, "NOTICE_WAIT_FIRST_S", 3600.0)
    monkeypatch.setattr(limits, "NOTICE_WAIT_MAX_S", 3600.0)
    application.answer = lambda kind, body: 500
    come(webhooks, *"abcdef")
    await application.until(lambda: len(application.posts) == 6)
    application.answer = lambda kind, body: 200
    await webhooks.aclose()
    assert sorted(application.notices) == [(CAME, client) for client in "abcdef"]


async def test_the_end_is_bounded_and_says_what_is_lost(
    application: Application, webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    never: Awaitable[int] = asyncio.get_running_loop().create_future()
    application.answer = lambda kind, body: never
    come(webhooks, "a", "b", "c")
    message = asyncio.create_task(webhooks.receive(UpdateMessage("d", "x")))
    await application.until(lambda: application.under_way >= 4)
    await webhooks.aclose()
    assert "3 presence notices are lost" in caplog.text
    with pytest.raises(RequestError, match="before the server ended"):
        await message
    await refusal(webhooks)
