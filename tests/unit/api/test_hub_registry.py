"""api/hub_registry.py: the one running hub of this process."""

import asyncio

import pytest
from tests.helpers.fakes_asyncio import new_hub

from headrace.api import hub_registry
from headrace.errors import ConfigError


async def test_the_running_hub_is_found() -> None:
    hub = new_hub()
    assert hub_registry.only() is None
    async with hub:
        assert hub_registry.only() is hub
        await hub.drain()
        assert hub_registry.only() is hub
    assert hub_registry.only() is None


async def test_it_is_found_from_another_thread() -> None:
    async with new_hub() as hub:
        assert await asyncio.to_thread(hub_registry.only) is hub


async def test_one_of_several_hubs_must_be_chosen() -> None:
    async with new_hub() as first:
        async with new_hub():
            with pytest.raises(ConfigError, match=r"2 hubs run in this process; choose one with"):
                hub_registry.only()
        assert hub_registry.only() is first
