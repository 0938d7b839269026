"""Webhooks without a request: the life cycle. `tests/end_to_end/webhooks` tests the requests."""

import asyncio

import pytest
from tests.helpers.presence_changes import connected, expect_unavailable

from headrace.errors import ConfigError, UnavailableError
from headrace.hooks.webhooks import Webhooks
from headrace.hub.application import UpdateMessage

SECRET = "a secret of the tests, 32 bytes+"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1"])
def test_created_without_an_event_loop_and_closed_unused(url: str) -> None:
    webhooks = Webhooks(url, [SECRET])

    async def close() -> None:
        await webhooks.aclose()
        await webhooks.aclose()

    asyncio.run(close())
    asyncio.run(webhooks.aclose())  # also on another loop


def test_the_number_of_attempts_is_at_least_one() -> None:
    with pytest.raises(ConfigError, match="notice_max_attempts is 0; it must be at least 1"):
        Webhooks("http://127.0.0.1:1", [SECRET], notice_max_attempts=0)


def test_created_without_an_event_loop_and_used_later(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_IDLE_S", 0.05)
    webhooks = Webhooks(f"http://127.0.0.1:{unused_tcp_port}", [SECRET])

    async def use() -> None:
        connected(webhooks, "a")
        await expect_unavailable(webhooks, "b")
        await asyncio.gather(webhooks.aclose(), webhooks.aclose())

    asyncio.run(use())
    assert webhooks.pending == 1
    assert "1 presence notices were not delivered" in caplog.text


async def test_a_second_aclose_waits_for_the_first(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_IDLE_S", 0.05)
    webhooks = Webhooks(f"http://127.0.0.1:{unused_tcp_port}", [SECRET])
    connected(webhooks, "a")
    first = asyncio.create_task(webhooks.aclose())
    await asyncio.sleep(0)
    assert not first.done()
    await webhooks.aclose()
    await asyncio.wait_for(first, 5)


async def test_nothing_is_accepted_after_aclose() -> None:
    webhooks = Webhooks("http://127.0.0.1:1", [SECRET])
    await webhooks.aclose()
    connected(webhooks, "a")
    assert webhooks.pending == 0
    with pytest.raises(UnavailableError, match="the server is shutting down"):
        await webhooks.receive(UpdateMessage("a", "x"))


async def test_a_cancelled_aclose_still_closes(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_IDLE_S", 3600.0)
    webhooks = Webhooks(f"http://127.0.0.1:{unused_tcp_port}", [SECRET])
    connected(webhooks, "a")
    closing = asyncio.create_task(webhooks.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    await webhooks.aclose()
