"""Each test of the server runs on uvloop and on asyncio's own loop, unless its mark names one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop
from tests.server.kit import Site, open_site

from headrace import limits

Serve = Callable[..., Awaitable[Site]]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """Start a server in this process, as `await serve(ping_interval_s=0.3)`; it ends by itself."""
    monkeypatch.setattr(limits, "TICK_S", 0.02)
    monkeypatch.setattr(limits, "CLOSE_TIMEOUT_S", 1.0)
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Site:
            return await stack.enter_async_context(open_site(**settings))

        yield start


@pytest.fixture
async def site(serve: Serve) -> Site:
    """A server with the settings that nobody changed."""
    return await serve()
