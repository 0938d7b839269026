"""api/client_messages.py: who gets an update-message, and its errors."""

from collections.abc import Iterable
from typing import Any

import pytest
from tests.helpers.fakes import UNIX_S, ManualClock
from tests.helpers.fakes_asyncio import FakeApplication, settings_with

from headrace.api.client_messages import (
    MESSAGES_BURST,
    MESSAGES_PER_S,
    TARGETS_MAX_COUNT,
    ClientMessages,
)
from headrace.auth.tokens import Claims
from headrace.errors import (
    ForbiddenError,
    InputError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
)
from headrace.hub.application import UpdateMessage
from headrace.messages.entries import Receipt
from headrace.messages.position import Position

RECEIPT = Receipt(Position(5, 0), 2)


class Bench:
    """Handles the messages of `ada`; `sent` holds what was relayed."""

    def __init__(
        self, *grants: str, application: FakeApplication | None = None, **settings: Any
    ) -> None:
        self.clock = ManualClock()
        self.application = application
        self.sent: list[tuple[str, tuple[str, ...], str | None]] = []
        self.claims = Claims("ada", UNIX_S + 60, send=grants)
        self.messages = ClientMessages(
            settings_with(**settings), self.clock.clocks, application, self.send
        )

    async def send(self, data: str, *, to: Iterable[str], group: str | None) -> Receipt:
        self.sent.append((data, tuple(to), group))
        return RECEIPT

    async def handle(
        self, data: str = "x", *, to: str | Iterable[str] = (), group: str | None = None
    ) -> Receipt | None:
        return await self.messages.handle(self.claims, data, to=to, group=group)


# --- who gets it -----------------------------------------------------------------------------


async def test_a_message_that_the_token_allows_is_relayed() -> None:
    application = FakeApplication()
    bench = Bench("client:b*", "group:lobby", application=application)
    assert await bench.handle("1", to="bob") == RECEIPT
    assert await bench.handle("2", to=iter(["bob", "bert"])) == RECEIPT
    assert await bench.handle("3", group="lobby") == RECEIPT
    assert bench.sent == [("1", ("bob",), None), ("2", ("bob", "bert"), None), ("3", (), "lobby")]
    assert application.messages == []


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({}, UpdateMessage("ada", "x")),
        ({"to": "carol"}, UpdateMessage("ada", "x", to=("carol",))),
        ({"to": ["bob", "carol"]}, UpdateMessage("ada", "x", to=("bob", "carol"))),
        ({"group": "other"}, UpdateMessage("ada", "x", group="other")),
    ],
)
async def test_every_other_message_goes_to_the_application(
    target: dict[str, Any], message: UpdateMessage
) -> None:
    application = FakeApplication()
    bench = Bench("client:bob", "group:lobby", application=application)
    assert await bench.handle(**target) is None
    assert application.messages == [message]
    assert bench.sent == []


@pytest.mark.parametrize(
    ("target", "text"),
    [({}, "a message without a target"), ({"to": "bob"}, "its target"), ({"group": "g"}, "its")],
)
async def test_without_an_application_it_is_forbidden(target: dict[str, Any], text: str) -> None:
    with pytest.raises(ForbiddenError, match=f"`send` claim does not cover {text}"):
        await Bench().handle(**target)


async def test_the_application_s_error_reaches_the_sender() -> None:
    application = FakeApplication()
    application.error = UnavailableError("the application cannot be reached")
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await Bench(application=application).handle()


# --- validation ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", [{"to": ""}, {"to": "a" * 257}, {"group": ""}, {"to": "bob", "group": "lobby"}]
)
async def test_an_invalid_target_is_not_given_to_the_application(target: dict[str, Any]) -> None:
    application = FakeApplication()
    with pytest.raises(InputError):
        await Bench(application=application).handle(**target)
    assert application.messages == []


@pytest.mark.parametrize("target", [{}, {"to": "bob"}, {"group": "lobby"}])
async def test_data_over_the_limit_is_not_given_to_the_application(target: dict[str, Any]) -> None:
    application = FakeApplication()
    bench = Bench(application=application, message_max_bytes=10)
    await bench.handle("é" * 5, **target)
    with pytest.raises(TooLargeError):
        await bench.handle("é" * 6, **target)
    assert [message.data for message in application.messages] == ["é" * 5]


async def test_a_message_may_name_a_hundred_clients() -> None:
    bench = Bench("client:*")
    names = [str(number) for number in range(TARGETS_MAX_COUNT + 1)]
    assert await bench.handle(to=names[:-1]) == RECEIPT
    with pytest.raises(InputError, match='"to" names 101 clients; a client may send to 100 at'):
        await bench.handle(to=names)
    assert len(bench.sent) == 1


# --- the rate limit --------------------------------------------------------------------------


async def test_a_client_that_sends_too_often_must_wait() -> None:
    bench = Bench("group:*", application=FakeApplication())
    for number in range(MESSAGES_BURST):  # relayed or not, all count
        await bench.handle(group="lobby" if number % 2 else None)
    with pytest.raises(RateLimitedError, match="a client may send 100 messages a second") as caught:
        await bench.handle(group="lobby")
    assert caught.value.retry_after_s == pytest.approx(1 / MESSAGES_PER_S)
    bench.clock.advance(caught.value.retry_after_s + 1e-6)  # the difference of two floats
    assert await bench.handle(group="lobby") == RECEIPT


async def test_messages_that_are_refused_count_as_well() -> None:
    bench = Bench()
    for _ in range(MESSAGES_BURST):
        with pytest.raises(ForbiddenError):
            await bench.handle()
    with pytest.raises(RateLimitedError):
        await bench.handle()


async def test_each_client_has_its_own_rate() -> None:
    bench = Bench("group:*")
    for _ in range(MESSAGES_BURST):
        await bench.handle(group="lobby")
    bench.claims = Claims("bob", UNIX_S + 60, send=("group:*",))
    assert await bench.handle(group="lobby") == RECEIPT


async def test_expire_keeps_the_rates_of_clients_that_sent_recently() -> None:
    bench = Bench("group:*")
    for _ in range(MESSAGES_BURST):
        await bench.handle(group="lobby")
    bench.messages.expire()
    with pytest.raises(RateLimitedError):
        await bench.handle(group="lobby")
    bench.clock.advance(60)
    bench.messages.expire()
    assert len(bench.messages._rate) == 0
