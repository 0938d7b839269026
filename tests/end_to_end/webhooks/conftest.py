"""A fake application and `Webhooks` that send to it, with short waits."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from tests.helpers.application import FakeApplication, running_application
from tests.helpers.site import SECRET

from headrace.hooks.webhooks import Webhooks

Connect = Callable[..., Webhooks]


@pytest.fixture
async def application() -> AsyncIterator[FakeApplication]:
    async with running_application() as application:
        yield application


@pytest.fixture
async def connect(
    application: FakeApplication, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Connect]:
    """Return a function that makes a `Webhooks`; each one is closed after the test."""
    monkeypatch.setattr("headrace.hooks.outbox.RETRY_WAIT_FIRST_S", 0.02)
    monkeypatch.setattr("headrace.hooks.outbox.RETRY_WAIT_MAX_S", 0.5)
    monkeypatch.setattr("headrace.hooks.outbox.PROBE_WAIT_MAX_S", 0.2)
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_IDLE_S", 0.5)
    monkeypatch.setattr("headrace.hooks.webhooks.DRAIN_REJECTED_S", 0.1)
    async with AsyncExitStack() as stack:

        def make(path: str = "", secrets: tuple[str, ...] = (SECRET,), **options: int) -> Webhooks:
            webhooks = Webhooks(application.url + path, secrets, **options)
            stack.push_async_callback(webhooks.aclose)
            return webhooks

        yield make


@pytest.fixture
async def webhooks(connect: Connect) -> Webhooks:
    return connect()
