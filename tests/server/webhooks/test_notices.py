"""Notices: what is taken, what is repeated, and who waits for whom."""

import asyncio
import logging

import pytest
from tests.server.application import CAME, Application
from tests.server.kit import SECRET
from tests.server.webhooks.steps import come, refusal

from headrace import limits
from headrace.application import UpdateMessage
from headrace.webhooks import Webhooks


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_taken(application: Application, webhooks: Webhooks, status: int) -> None:
    application.answer = lambda kind, body: status
    come(webhooks, "a")
    await application.until_told((CAME, "a"))
    await webhooks.receive(UpdateMessage("a", "x"))
    assert (webhooks.waiting, webhooks.delivered) == (0, 1)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 408, 410, 429, 500, 503])
async def test_anything_else_is_repeated_and_told_once(
    application: Application,
    webhooks: Webhooks,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "headrace")
    application.headers = {"location": "/elsewhere"} if status < 400 else {}
    statuses = iter([status] * 4)
    application.answer = lambda kind, body: next(statuses, 200)
    come(webhooks, "a")
    await application.until_told((CAME, "a"))
    await webhooks.aclose()
    assert [post.status for post in application.posts] == [status] * 4 + [200]
    warning, info = [record.getMessage() for record in caplog.records]
    assert f"it answers {status}" in warning
    assert "/_ah/channel/connected/" in warning
    assert ("app_url" in warning) is (status < 400)
    assert "answers again" in info


async def test_retry_after_is_kept_to(application: Application, webhooks: Webhooks) -> None:
    application.headers = {"retry-after": "60"}  # but no longer than the longest wait of ours
    statuses = iter([429])
    application.answer = lambda kind, body: next(statuses, 200)
    loop = asyncio.get_running_loop()
    started = loop.time()
    come(webhooks, "a")
    await application.until_told((CAME, "a"))
    assert loop.time() - started >= limits.NOTICE_WAIT_MAX_S


async def test_no_more_than_so_many_are_under_way(
    application: Application, webhooks: Webhooks
) -> None:
    may_answer = asyncio.Event()

    async def wait() -> int:
        await may_answer.wait()
        return 200

    application.answer = lambda kind, body: wait()
    come(webhooks, *[str(number) for number in range(100)])
    await application.until(lambda: application.under_way >= limits.NOTICES_AT_A_TIME)
    may_answer.set()
    await application.until(lambda: len(application.notices) == 100)
    assert application.most_under_way == limits.NOTICES_AT_A_TIME


async def test_a_client_whose_notices_fail_holds_up_nobody_else(
    application: Application, webhooks: Webhooks
) -> None:
    application.answer = lambda kind, body: 500 if "bad" in body else 200
    come(webhooks, "bad")
    for number in range(20):
        come(webhooks, str(number))
        await application.until(lambda n=number: len(application.notices) == n + 1)  # type: ignore[misc]  # a default binds it
    assert webhooks.waiting >= 1


async def test_an_application_that_hangs_is_given_up_and_tried_again(
    application: Application,
    webhooks: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(limits, "NOTICE_TIMEOUT_S", 0.2)
    hangs = True

    async def hang() -> int:
        if hangs:
            await asyncio.Event().wait()
        return 200

    application.answer = lambda kind, body: hang()
    come(webhooks, "a")
    await refusal(webhooks, "b")
    assert "does not answer in time" in caplog.text
    hangs = False
    await application.until_told((CAME, "a"))


async def test_an_answer_without_an_end_counts_by_its_status() -> None:
    """And does not hold up the next one."""
    seen = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"from=a")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n" + b"x" * 200_000)
        seen.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    webhooks = Webhooks(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", [SECRET])
    come(webhooks, "a")
    await seen.wait()
    await webhooks.aclose()
    assert (webhooks.delivered, webhooks.waiting) == (1, 0)
    server.close()
    await server.wait_closed()
