"""adapters/aiohttp.py: prefixes and life cycles; the rest is tested end to end."""

import inspect
import textwrap
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.helpers.hosts import hub_for_host
from tests.helpers.site import API_KEY
from yarl import URL

from headrace.adapters import aiohttp as adapter
from headrace.adapters.aiohttp import add_routes
from headrace.hub.lifecycle import LifeState


async def serve(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def test_application_starts_and_closes_a_new_hub() -> None:
    hub = hub_for_host()
    app = web.Application()
    add_routes(app, hub)
    runner, _ = await serve(app)
    assert hub.life.is_running
    await runner.cleanup()
    assert hub.life.state is LifeState.CLOSED


async def test_hub_that_was_started_is_drained_and_not_closed() -> None:
    async with hub_for_host() as hub:
        app = web.Application()
        add_routes(app, hub)
        runner, _ = await serve(app)
        await runner.cleanup()
        assert hub.life.state is LifeState.DRAINING


async def test_prefix_within_a_subapplication() -> None:
    hub = hub_for_host()
    app, push = web.Application(), web.Application()
    add_routes(push, hub, "/v", application_routes=True, demo=True)
    app.add_subapp("/a/b", push)
    runner, url = await serve(app)
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for path, status in (
            ("/a/b/v/healthz", 200),
            ("/a/b/v/", 200),
            ("/a/b/v/v1/presence/x%2Fy?z", 200),
            ("/healthz", 404),
        ):
            async with http.get(URL(url + path, encoded=True)) as response:
                assert response.status == status, path
    await runner.cleanup()


async def test_example_in_the_docstring(monkeypatch: pytest.MonkeyPatch) -> None:
    apps: list[web.Application] = []
    monkeypatch.setattr(web, "run_app", apps.append)
    example = inspect.getdoc(adapter).split("\n\n    ", 1)[1].partition("\n\nClients")[0]  # type: ignore[union-attr]  # it has one
    names: dict[str, Any] = {}
    exec(textwrap.dedent("    " + example), names)
    runner, url = await serve(apps[0])
    async with aiohttp.ClientSession() as http, http.get(f"{url}/push/healthz") as response:
        assert response.status == 200
    await runner.cleanup()
