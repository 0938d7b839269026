"""An application, and what sends to it, with waits that a test can afford."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from tests.server.application import Application, running_application
from tests.server.kit import SECRET

from headrace import limits
from headrace.webhooks import Webhooks

Connect = Callable[..., Webhooks]


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    async with running_application() as application:
        yield application


@pytest.fixture
async def connect(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Connect]:
    """Make the sender, as `connect()`; it ends by itself."""
    monkeypatch.setattr(limits, "NOTICE_WAIT_FIRST_S", 0.02)
    monkeypatch.setattr(limits, "NOTICE_WAIT_MAX_S", 0.5)
    monkeypatch.setattr(limits, "PROBE_WAIT_MAX_S", 0.2)
    monkeypatch.setattr(limits, "NOTICES_DRAIN_S", 0.5)
    async with AsyncExitStack() as stack:

        def make(path: str = "", secrets: tuple[str, ...] = (SECRET,)) -> Webhooks:
            webhooks = Webhooks(application.url + path, secrets)
            stack.push_async_callback(webhooks.aclose)
            return webhooks

        yield make


@pytest.fixture
async def webhooks(connect: Connect) -> Webhooks:
    return connect()
