"""An application that embeds `Hub` and `Server`, with routes of its own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.helpers.site import API_KEY, SECRET, opened, recv
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from headrace import (
    ConfigError,
    ForbiddenError,
    Hub,
    PresenceChange,
    Request,
    RequestError,
    Response,
    Route,
    Server,
    Settings,
    UpdateMessage,
)

SETTINGS = Settings(
    port=0, secrets=(SECRET,), api_key=API_KEY, allowed_origins=("https://ok.example",), drain_s=0
)
HTML = (("content-type", "text/html; charset=utf-8"),)


class Order(msgspec.Struct, frozen=True):
    drink: str


async def page(request: Request) -> Response:
    return Response(200, HTML, b"<h1>The bar</h1>")


async def hello(request: Request) -> Response:
    fields = {"hello": request.params["name"], "query": request.query("a")}
    return Response.json(fields)


async def order(request: Request) -> Response:
    order: Order = request.body
    if order.drink == "tea":
        raise ForbiddenError("this is a bar")
    if order.drink == "coffee":
        raise RequestError(409, "the machine is in use")
    await request.hub.send(order.drink, to="bar")
    return Response.json({"token": request.hub.create_channel("bar").token}, 201)


async def broken(request: Request) -> Response:
    raise LookupError("a secret of the application")


ROUTES = (
    Route("GET", "/", page),
    Route("GET", "/hello/{name}", hello),
    Route("POST", "/order", order, access="client", body=Order),
    Route("GET", "/till", page, access="application"),
    Route("GET", "/broken", broken),
)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    hub = Hub(SETTINGS)
    async with hub, Server(hub, routes=ROUTES) as server:
        yield server


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def test_page(http: aiohttp.ClientSession) -> None:
    async with http.get("/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert await response.text() == "<h1>The bar</h1>"
    async with http.head("/") as response:
        assert (response.status, response.headers["content-length"]) == (200, "16")
    async with http.post("/") as response:
        assert (response.status, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_parameters(http: aiohttp.ClientSession) -> None:
    async with http.get("/hello/Zo%C3%AB%2Fx?a=%20b") as response:
        assert await response.json() == {"hello": "Zoë/x", "query": " b"}


async def test_body_is_checked_and_errors_are_problem_documents(
    http: aiohttp.ClientSession,
) -> None:
    for body, status in (
        ({"drink": "tea"}, 403),
        ({"drink": "coffee"}, 409),
        ({"drink": 5}, 400),
        ({}, 400),
    ):
        async with http.post("/order", json=body) as response:
            assert response.status == status
            assert response.content_type == "application/problem+json"


async def test_access_of_a_route(http: aiohttp.ClientSession) -> None:
    wine = {"drink": "wine"}
    evil = {"origin": "https://evil.example"}
    async with http.post("/order", json=wine, headers=evil) as response:
        assert response.status == 403
    allowed = {"origin": "https://ok.example"}
    async with http.post("/order", json=wine, headers=allowed) as response:
        assert response.status == 201
        assert response.headers["access-control-allow-origin"] == "https://ok.example"
    async with http.get("/till") as response:
        assert response.status == 401
    async with http.get("/till", headers={"authorization": f"Bearer {API_KEY}"}) as response:
        assert response.status == 200


async def test_handler_sends_to_channels(server: Server, http: aiohttp.ClientSession) -> None:
    async with http.post("/order", json={"drink": "wine"}) as response:
        token = (await response.json())["token"]
    protocols = [Subprotocol("headrace.v1"), Subprotocol(f"headrace.token.{token}")]
    url = server.url.replace("http", "ws", 1) + "/v1/connect"
    async with connect(url, subprotocols=protocols, proxy=None) as client:
        await opened(client)
        async with http.post("/order", json={"drink": "beer"}):
            assert (await recv(client))["data"] == "beer"


async def test_unexpected_exception_is_logged_and_not_shown(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with http.get("/broken") as response:
        assert response.status == 500
        assert "secret" not in await response.text()
    assert "GET /broken failed" in caplog.text


async def test_root_without_routes() -> None:
    hub = Hub(SETTINGS)
    async with (
        hub,
        Server(hub) as server,
        aiohttp.ClientSession() as http,
        http.get(server.url) as response,
    ):
        assert response.status == 404


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        (Route("POST", "/v1/send", page), "exists already"),
        (Route("GET", "/", page), "exists already"),
        (Route("GET", "/x"), "needs a handler"),
        (Route("GET", "x", page), "needs a handler and a path"),
    ],
)
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_invalid_routes(route: Route, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        Server(Hub(SETTINGS), routes=[*ROUTES, route])


class FaultyApplication:
    """An application whose `presence_changed` raises, against the protocol."""

    def presence_changed(self, change: PresenceChange) -> None:
        raise RuntimeError(f"{change.client_id} is not expected")

    async def receive(self, message: UpdateMessage) -> None: ...

    async def aclose(self) -> None: ...


async def test_application_that_raises_does_not_stop_the_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.api.hub.EXPIRE_INTERVAL_S", 0.02)
    faults: list[dict[str, Any]] = []
    both = asyncio.Event()

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        faults.append(context)
        if len(faults) == 2:  # one in each run of the timer
            both.set()

    asyncio.get_running_loop().set_exception_handler(handle)
    hub = Hub(SETTINGS, FaultyApplication())
    async with hub, Server(hub):
        hub.core.presence.restore({"alice": 1.0, "bob": 2.0}, until=0.0)
        await both.wait()
    assert [str(fault["exception"]) for fault in faults] == [
        "alice is not expected",
        "bob is not expected",
    ]
