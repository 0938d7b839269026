"""adapters/asgi.py: scopes and events that real hosts seldom or never send."""

import inspect
import textwrap
from typing import Any

import pytest
from starlette.applications import Starlette
from tests.helpers.hosts import hub_for_host, uvicorn_host
from tests.helpers.site import mint

from headrace import ConfigError, Hub
from headrace.adapters import asgi
from headrace.adapters.asgi import AsgiMessage, asgi_app


class AsgiClient:
    """One connection: the events that the application receives, and those that it sent."""

    def __init__(self, *events: AsgiMessage) -> None:
        self._events = iter(events)
        self.sent: list[AsgiMessage] = []

    async def receive(self) -> AsgiMessage:
        return next(self._events)

    async def send(self, message: AsgiMessage) -> None:
        self.sent.append(message)


async def get(hub: Hub, **scope: Any) -> int:
    client = AsgiClient({"type": "http.request"})
    scope = {"type": "http", "method": "GET", "headers": [], "query_string": b"", **scope}
    await asgi_app(hub)(scope, client.receive, client.send)
    status: int = client.sent[0]["status"]
    return status


@pytest.mark.parametrize(
    ("path", "raw_path", "root_path"),
    [
        ("/healthz", None, ""),
        ("/healthz", b"/healthz", ""),
        ("/push/healthz", b"/push/healthz", "/push"),
        ("/push/healthz", None, "/push"),
        ("/push/healthz", b"/push/healthz", "/push/"),
        ("/a/b c/healthz", b"/a/b%20c/healthz", "/a/b c"),
        ("/healthz", b"/healthz", "/push"),  # the host has removed the prefix
        ("/healthz", b"/push/healthz", "/push"),  # from one of the two
    ],
)
async def test_prefix_is_removed(path: str, raw_path: bytes | None, root_path: str) -> None:
    async with hub_for_host() as hub:
        assert await get(hub, path=path, raw_path=raw_path, root_path=root_path) == 200


async def test_prefix_is_whole_segments() -> None:
    async with hub_for_host() as hub:
        assert await get(hub, path="/pushed/healthz", root_path="/push") == 404


async def test_websocket_is_refused_without_the_denial_extension() -> None:
    async with hub_for_host() as hub:
        client = AsgiClient({"type": "websocket.connect"})
        scope = {"type": "websocket", "path": "/v1/connect", "headers": []}
        await asgi_app(hub)(scope, client.receive, client.send)
        assert [event["type"] for event in client.sent] == ["websocket.close"]


async def test_subprotocols_of_a_host_that_removes_the_header() -> None:
    async with hub_for_host() as hub:
        client = AsgiClient({"type": "websocket.connect"}, {"type": "websocket.disconnect"})
        offered = ["headrace.v1", f"headrace.token.{mint()}"]
        scope = {
            "type": "websocket",
            "path": "/v1/connect",
            "headers": [],
            "subprotocols": offered,
        }
        await asgi_app(hub)(scope, client.receive, client.send)
        assert client.sent[0] == {"type": "websocket.accept", "subprotocol": "headrace.v1"}


async def test_hub_that_cannot_start_fails_the_startup() -> None:
    hub = hub_for_host()

    async def fail() -> None:
        raise ConfigError("not today")

    hub.start = fail  # type: ignore[method-assign]  # replaced for this test
    client = AsgiClient({"type": "lifespan.startup"})
    await asgi_app(hub)({"type": "lifespan"}, client.receive, client.send)
    assert client.sent == [{"type": "lifespan.startup.failed", "message": "not today"}]


async def test_hub_that_the_host_started_is_not_closed() -> None:
    async with hub_for_host() as hub:
        client = AsgiClient({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
        await asgi_app(hub)({"type": "lifespan"}, client.receive, client.send)
        assert client.sent[-1] == {"type": "lifespan.shutdown.complete"}
        assert hub.life.is_running


async def test_example_in_the_docstring() -> None:
    example = inspect.getdoc(asgi).split("\n\n    ", 1)[1].partition("\n\nClients")[0]  # type: ignore[union-attr]  # it has one
    names: dict[str, Any] = {}
    exec(textwrap.dedent("    " + example), names)
    app, hub = names["app"], names["hub"]
    assert isinstance(app, Starlette)
    async with uvicorn_host(app, hub, "/push") as host, host.connect(host.token()) as client:
        assert '"open"' in str(await client.recv())
