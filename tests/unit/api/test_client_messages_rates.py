"""api/client_messages.py: the rate limit in bytes."""

import pytest
from tests.helpers.fakes import ManualClock, claims_of
from tests.helpers.fakes_asyncio import FakeApplication, settings_with

from headrace.api.client_messages import (
    DATA_BURST_BYTES,
    DATA_BYTES_PER_S,
    MESSAGES_BURST,
    ClientMessages,
)
from headrace.errors import InputError, RateLimitedError, TooLargeError
from headrace.messages.entries import Receipt

LARGE = "x" * 32_768
BURST_MESSAGES = DATA_BURST_BYTES // len(LARGE)


class Bench:
    """Handles messages to an application, with manual time."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.messages = ClientMessages(
            settings_with(), self.clock.clocks, FakeApplication(), self.send
        )

    async def send(self, data: str, **target: object) -> Receipt:
        raise AssertionError("nothing is relayed here")

    async def handle(self, data: str, client_id: str = "ada") -> None:
        await self.messages.handle(claims_of(client_id), data, to=(), group=None)


async def test_a_client_that_sends_too_many_bytes_must_wait() -> None:
    bench = Bench()
    for _ in range(BURST_MESSAGES):
        await bench.handle(LARGE)
    with pytest.raises(RateLimitedError, match="a client may send 256 KiB of data a second") as it:
        await bench.handle(LARGE)
    assert it.value.retry_after_s == pytest.approx(len(LARGE) / DATA_BYTES_PER_S)
    await bench.handle(LARGE, "bob")
    bench.clock.advance(it.value.retry_after_s + 1e-6)
    await bench.handle(LARGE)


async def test_small_messages_are_limited_by_their_number_alone() -> None:
    bench = Bench()
    for _ in range(MESSAGES_BURST):
        await bench.handle("x")
    with pytest.raises(RateLimitedError, match="100 messages a second"):
        await bench.handle("x")


async def test_bytes_are_those_of_utf_8() -> None:
    bench = Bench()
    for _ in range(BURST_MESSAGES):
        await bench.handle("\u597d" * (len(LARGE) // 3))
    with pytest.raises(RateLimitedError):
        await bench.handle(LARGE)


async def test_a_refused_message_counts_for_neither_limit() -> None:
    bench = Bench()
    for _ in range(BURST_MESSAGES):
        await bench.handle(LARGE)
    for _ in range(MESSAGES_BURST):
        with pytest.raises(RateLimitedError):
            await bench.handle(LARGE)
    bench.clock.advance(0.001)
    await bench.handle("x")


async def test_a_message_over_the_limit_counts_as_one_of_the_largest_size() -> None:
    bench = Bench()
    for _ in range(BURST_MESSAGES):
        with pytest.raises(TooLargeError):
            await bench.handle("x" * DATA_BURST_BYTES)
    with pytest.raises(RateLimitedError):
        await bench.handle(LARGE)


async def test_data_that_is_not_unicode_is_an_input_error() -> None:
    with pytest.raises(InputError, match="surrogate"):
        await Bench().handle("\ud800")


async def test_expire_deletes_the_counts_of_clients_that_stopped() -> None:
    bench = Bench()
    await bench.handle(LARGE)
    bench.messages.expire()
    assert len(bench.messages._data_rate) == 1
    bench.clock.advance(60)
    bench.messages.expire()
    assert len(bench.messages._data_rate) == 0
