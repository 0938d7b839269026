"""Each asynchronous test runs on uvloop and on asyncio's own loop."""

from tests.helpers.event_loops import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
