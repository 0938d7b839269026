"""Fixtures of the end-to-end tests; each test runs on uvloop and on asyncio's own event loop.

A test whose server is another process uses one loop only, by its `asyncio` mark.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.helpers.constants import set_server_constant
from tests.helpers.event_loops import pytest_asyncio_loop_factories
from tests.helpers.site import Site, open_site

from headrace import Application

__all__ = ["pytest_asyncio_loop_factories"]

Serve = Callable[..., Awaitable[Site]]


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """Return a function that starts a server in this process: `await serve(ping_interval_s=0.3)`.

    Its arguments are an application, or none, and settings. The servers stop after the test.
    """
    set_server_constant(monkeypatch, "TIMER_RESOLUTION_S", 0.02)
    set_server_constant(monkeypatch, "CLOSE_TIMEOUT_S", 1.0)
    monkeypatch.setattr("headrace.api.hub.EXPIRE_INTERVAL_S", 0.02)
    async with AsyncExitStack() as stack:

        async def start(application: Application | None = None, **settings: Any) -> Site:
            return await stack.enter_async_context(open_site(application, **settings))

        yield start


@pytest.fixture
async def site(serve: Serve) -> Site:
    """A server with the default settings."""
    return await serve()
