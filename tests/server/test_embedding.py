"""An application's own pages and requests, on the server that it embeds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.server.kit import API_KEY, SECRET, opened, recv
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from headrace import limits
from headrace.application import UpdateMessage
from headrace.entries import Entry
from headrace.errors import ConfigError, RequestError
from headrace.presence import Change
from headrace.server import Access, Answer, Call, Route, Server, json_answer
from headrace.settings import Settings

SETTINGS = Settings(
    port=0, secrets=(SECRET,), api_key=API_KEY, allowed_origins=("https://ok.example",), drain_s=0
)
HTML = (("content-type", "text/html; charset=utf-8"),)


class Order(msgspec.Struct, frozen=True):
    drink: str


async def page(call: Call) -> Answer:
    return Answer(200, HTML, b"<h1>The bar</h1>")


async def hello(call: Call) -> Answer:
    return json_answer({"hello": call.params["name"], "query": call.request.query})


async def order(call: Call) -> Answer:
    asked: Order = call.body
    if asked.drink == "tea":
        raise RequestError(403, "this is a bar")
    await call.node.hub.publish(Entry(data=asked.drink, to=("bar",)))
    return json_answer({"token": call.node.mint("bar").token}, 201)


async def broken(call: Call) -> Answer:
    raise LookupError("a secret of the application's")


ROUTES = (
    Route("GET", "/", Access.OPEN, page),
    Route("GET", "/hello/{name}", Access.OPEN, hello),
    Route("POST", "/order", Access.CLIENT, order, Order),
    Route("GET", "/till", Access.APPLICATION, page),
    Route("GET", "/broken", Access.OPEN, broken),
)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server(SETTINGS, routes=ROUTES)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def test_a_page(http: aiohttp.ClientSession) -> None:
    async with http.get("/") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert await answer.text() == "<h1>The bar</h1>"
    async with http.head("/") as answer:
        assert (answer.status, answer.headers["content-length"]) == (200, "16")
    async with http.post("/") as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_parameters(http: aiohttp.ClientSession) -> None:
    async with http.get("/hello/Zo%C3%AB%2Fx?a=%20b") as answer:
        assert await answer.json() == {"hello": "Zoë/x", "query": "a=%20b"}


async def test_a_body_is_checked_and_a_refusal_is_a_problem_document(
    http: aiohttp.ClientSession,
) -> None:
    for body, status in (({"drink": "tea"}, 403), ({"drink": 5}, 400), ({}, 400)):
        async with http.post("/order", json=body) as answer:
            assert answer.status == status
            assert answer.content_type == "application/problem+json"


async def test_origins_and_the_key_are_checked_as_the_route_says(
    http: aiohttp.ClientSession,
) -> None:
    wine = {"drink": "wine"}
    async with http.post("/order", json=wine, headers={"origin": "https://evil.example"}) as answer:
        assert answer.status == 403
    async with http.post("/order", json=wine, headers={"origin": "https://ok.example"}) as answer:
        assert answer.status == 201
        assert answer.headers["access-control-allow-origin"] == "https://ok.example"
    async with http.get("/till") as answer:
        assert answer.status == 401
    async with http.get("/till", headers={"authorization": f"Bearer {API_KEY}"}) as answer:
        assert answer.status == 200


async def test_a_handler_sends_to_channels(server: Server, http: aiohttp.ClientSession) -> None:
    async with http.post("/order", json={"drink": "wine"}) as answer:
        token = (await answer.json())["token"]
    protocols = [Subprotocol("headrace.v1"), Subprotocol(f"headrace.token.{token}")]
    url = server.url.replace("http", "ws", 1) + "/v1/connect"
    async with connect(url, subprotocols=protocols, proxy=None) as client:
        await opened(client)
        async with http.post("/order", json={"drink": "beer"}):
            assert (await recv(client))["data"] == "beer"


async def test_what_a_handler_raises_is_logged_and_not_shown(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with http.get("/broken") as answer:
        assert answer.status == 500
        assert "secret" not in await answer.text()
    assert "GET /broken failed" in caplog.text


async def test_without_routes_there_is_no_page() -> None:
    server = Server(SETTINGS)
    await server.start()
    async with aiohttp.ClientSession() as http, http.get(server.url) as answer:
        assert answer.status == 404
    await server.stop()


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        (Route("POST", "/v1/send", Access.OPEN, page), "is there already"),
        (Route("GET", "/", Access.OPEN, page), "is there already"),
        (Route("GET", "/x", Access.OPEN), "needs a handler"),
        (Route("GET", "x", Access.OPEN, page), "needs a handler, and a path"),
    ],
)
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_routes_that_cannot_be_used(route: Route, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        Server(SETTINGS, routes=[*ROUTES, route])


class FaultyApplication:
    """Breaks its promise: it raises for whoever comes or goes."""

    def presence_changed(self, change: Change) -> None:
        raise RuntimeError(f"{change.client_id} is not expected")

    async def receive(self, message: UpdateMessage) -> None: ...

    async def aclose(self) -> None: ...


async def test_an_application_that_raises_does_not_stop_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "TICK_S", 0.02)
    faults: list[dict[str, Any]] = []
    both = asyncio.Event()

    def note(_: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        faults.append(told)
        if len(faults) == 2:  # each tick has told of one
            both.set()

    asyncio.get_running_loop().set_exception_handler(note)
    server = Server(SETTINGS)
    await server.start()
    server.hub.presence.expect({"alice": 1.0, "bob": 2.0}, until=0.0)
    server.hub.application = FaultyApplication()
    await both.wait()
    server.hub.application = None
    await server.stop()
    assert [str(told["exception"]) for told in faults] == [
        "alice is not expected",
        "bob is not expected",
    ]
