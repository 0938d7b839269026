"""Update-messages to the application or to other clients, over HTTP and over a WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.application import CONNECTED, MESSAGE, FakeApplication, running_application
from tests.helpers.server_process import ServerProcess, server_process
from tests.helpers.site import Json, Site, mint, opened, recv
from websockets.asyncio.client import ClientConnection

from headrace import Callbacks
from headrace.api.client_frames import PENDING_SENDS_MAX_COUNT
from headrace.api.client_messages import TARGETS_MAX_COUNT
from headrace.errors import RequestError
from headrace.hub.application import UpdateMessage

GRANTS = ["group:lobby", "group:game-*", "client:bob", r"client:\*"]
only_asyncio = pytest.mark.asyncio(loop_factories=["asyncio"])  # the server is another process


@pytest.fixture
async def application() -> AsyncIterator[FakeApplication]:
    async with running_application() as application:
        yield application


@pytest.fixture
async def site(application: FakeApplication) -> AsyncIterator[ServerProcess]:
    async with server_process("--app-url", application.url, "--drain-s", "0") as site:
        yield site


async def post(site: Site, token: str, **body: object) -> tuple[int, Json]:
    status, response, headers = await site.post("/v1/messages", body, key=token)
    assert (status in (429, 503)) is ("retry-after" in headers)
    return status, response


async def send(client: ClientConnection, **fields: object) -> Json:
    """Send over the WebSocket and return the reply."""
    await client.send(encode({"type": "send", **fields}))
    return await recv(client)


def encode(frame: Json) -> str:
    return json.dumps(frame)


# --- over HTTP ---------------------------------------------------------------------------------


@only_asyncio
@pytest.mark.parametrize(
    ("target", "received"),
    [
        ({}, {}),
        ({"to": "eve"}, {"to": "eve"}),
        ({"to": ["bob", "eve"]}, {"to": ["bob", "eve"]}),
        ({"to": ["eve"]}, {"to": "eve"}),
        ({"to": "**"}, {"to": "**"}),
        ({"group": "secret"}, {"group": "secret"}),
        ({"group": "Lobby"}, {"group": "Lobby"}),
    ],
)
async def test_message_without_a_grant_goes_to_the_application(
    application: FakeApplication, site: ServerProcess, target: Json, received: Json
) -> None:
    token = mint("alice/ü", send=GRANTS)
    assert (await post(site, token, data="žluť\n\x00", **target))[0] == 202
    assert application.messages == [{"from": "alice/ü", "data": "žluť\n\x00", **received}]
    assert (await site.stats())["messages"] == 0


@only_asyncio
async def test_message_with_a_grant_is_relayed(
    application: FakeApplication, site: ServerProcess
) -> None:
    token = mint("alice", send=GRANTS)
    async with site.connect(mint("bob", groups=["lobby"])) as bob:
        await opened(bob)
        targets: list[Json] = [{"to": "bob"}, {"to": ["*", "bob"]}, {"group": "lobby"}]
        for target in targets:
            status, response = await post(site, token, data="x", **target)
            assert (status, response["sessions"]) == (200, 1)
            assert (await recv(bob))["id"] == response["id"]
        assert (await post(site, token, data="x", group="game-7"))[1]["sessions"] == 0
    assert application.messages == []


@only_asyncio
async def test_invalid_messages_do_not_reach_the_application(
    application: FakeApplication, site: ServerProcess
) -> None:
    token = mint()
    assert (await post(site, token, data="x" * 32769))[0] == 413
    assert (await post(site, token, data="x", to=""))[0] == 400
    assert (await post(site, token, data="x", to="a", group="g"))[0] == 400
    assert (await post(site, token, data="\ud800"))[0] == 400
    assert (await post(site, token + "x", data="x"))[0] == 401
    assert application.posts == []
    assert (await post(site, token, data="x" * 32768))[0] == 202


async def test_limit_of_targets(serve: Serve) -> None:
    site = await serve()
    token = mint(send=["client:*"])
    names = [str(number) for number in range(TARGETS_MAX_COUNT + 1)]
    assert (await post(site, token, data="x", to=names[1:]))[0] == 200
    status, response = await post(site, token, data="x", to=names)
    assert status == 400
    assert "names 101 clients" in response["detail"]
    async with site.connect(token) as client:
        await opened(client)
        assert (await send(client, data="x", to=names, ref=1))["code"] == 400


@only_asyncio
async def test_application_that_fails_or_is_down(
    application: FakeApplication, site: ServerProcess
) -> None:
    application.respond = lambda kind, body: 500
    assert (await post(site, mint(), data="x"))[0] == 503
    await application.stop()
    assert (await post(site, mint(), data="x"))[0] == 503
    await application.start()
    application.respond = lambda kind, body: 200
    assert (await post(site, mint(), data="x"))[0] == 202


@only_asyncio
async def test_message_follows_the_connected_notice(
    application: FakeApplication, site: ServerProcess
) -> None:
    for number in range(10):
        async with site.connect(mint(f"client {number}")) as client:
            await opened(client)
            assert (await post(site, mint(f"client {number}"), data="x"))[0] == 202
    posts = [post for post in application.posts if post.kind in (CONNECTED, MESSAGE)]
    assert [post.kind for post in posts] == [CONNECTED, MESSAGE] * 10


@only_asyncio
async def test_rate_limit(site: ServerProcess) -> None:
    token = mint(send=["group:*"])
    statuses = [(await post(site, token, data="x", group="g"))[0] for _ in range(190)]
    assert statuses == [200] * 190

    async def post_many() -> list[int]:
        posts = [post(site, token, data="x", group="g") for _ in range(300)]
        return [status for status, _ in await asyncio.gather(*posts)]

    while 429 not in (statuses := await post_many()):
        pass
    assert set(statuses) <= {200, 429}
    async with site.connect(token) as client:  # both transports share the limit
        await opened(client)
        refused: list[Json] = []
        while not refused:
            for ref in range(60):
                await client.send(encode({"type": "send", "data": "x", "group": "g", "ref": ref}))
            replies = [await recv(client) for _ in range(60)]
            refused = [reply for reply in replies if reply["type"] == "error"]
        assert {reply["code"] for reply in refused} == {429}
    assert (await post(site, mint("bob", send=["group:*"]), data="x", group="g"))[0] == 200
    while (await post(site, token, data="x", group="g"))[0] == 429:
        pass


async def test_no_application(serve: Serve) -> None:
    site = await serve()
    assert (await post(site, mint(send=GRANTS), data="x", group="lobby"))[0] == 200
    status, response = await post(site, mint(send=GRANTS), data="x", group="secret")
    assert status == 403
    assert "no application is set" in response["detail"]


async def test_callbacks_without_a_message_function(serve: Serve) -> None:
    site = await serve(Callbacks())
    assert (await post(site, mint(), data="x"))[0] == 403


async def test_message_callback(serve: Serve) -> None:
    messages = []

    async def on_message(message: UpdateMessage) -> None:
        await asyncio.sleep(0)
        messages.append(message)
        if message.data == "bad":
            raise LookupError("an error in the application")
        if message.data == "no":
            raise RequestError(403, "the application says no")

    site = await serve(Callbacks(message=on_message))
    assert (await post(site, mint(), data="x", to=["a", "b"]))[0] == 202
    assert messages == [UpdateMessage("alice", "x", ("a", "b"))]
    assert (await post(site, mint(), data="bad"))[0] == 503
    status, response = await post(site, mint(), data="no")
    assert (status, response["detail"]) == (403, "the application says no")


# --- over a WebSocket --------------------------------------------------------------------------


@only_asyncio
async def test_websocket(application: FakeApplication, site: ServerProcess) -> None:
    async with (
        site.connect(mint("alice", send=GRANTS)) as alice,
        site.connect(mint("bob")) as bob,
    ):
        await opened(alice)
        await opened(bob)
        relayed = await send(alice, data="hi", to="bob", ref=1)
        assert relayed == {"type": "sent", "ref": 1, "id": relayed["id"]}
        assert await recv(bob) == {"id": relayed["id"], "data": "hi"}
        accepted = await send(alice, data="to the application", ref="two")
        assert accepted == {"type": "sent", "ref": "two", "id": None}
        assert application.messages == [{"from": "alice", "data": "to the application"}]
        assert (await send(alice, data="no ref"))["type"] == "sent"
        for fields, code in (
            ({"data": "x" * 32769}, 413),
            ({"data": "x", "to": ""}, 400),
            ({"data": "x", "to": "a", "group": "g"}, 400),
        ):
            reply = await send(alice, ref=3, **fields)
            assert (reply["type"], reply["ref"], reply["code"]) == ("error", 3, code)
            assert reply["detail"]
        invalid: list[Json] = [{}, {"data": 5}, {"data": "x", "to": 5}, {"data": "x", "colour": 1}]
        for fields in invalid:
            reply = await send(alice, ref=5, **fields)
            assert (reply["type"], reply["ref"], reply["code"]) == ("error", 5, 400)
        nested = "[" * 5000 + "]" * 5000
        for unreadable in (
            *('{"type":"send","data":"x","ref":[6]}', '{"type":"send","ref":6', "x", nested),
            *(f'{{"type":"bogus","x":{nested[deep:-deep]}}}' for deep in (3500, 2000, 1)),
        ):
            await alice.send(unreadable)
            reply = await recv(alice)
            assert (reply["type"], reply["code"], "ref" in reply) == ("error", 400, False)
        application.respond = lambda kind, body: 500
        reply = await send(alice, data="x", ref=4)
        assert (reply["type"], reply["ref"], reply["code"]) == ("error", 4, 503)


@only_asyncio
async def test_messages_of_one_client_stay_in_order(
    application: FakeApplication, site: ServerProcess
) -> None:
    async with site.connect(mint()) as client:
        await opened(client)
        for number in range(60):
            await client.send(encode({"type": "send", "data": str(number), "ref": number}))
        replies = [await recv(client) for _ in range(60)]
    assert [reply["ref"] for reply in replies] == list(range(60))
    assert [one["data"] for one in application.messages] == [str(n) for n in range(60)]


async def test_limit_of_pending_messages(serve: Serve) -> None:
    may_end = asyncio.Event()

    async def on_message(message: UpdateMessage) -> None:
        await may_end.wait()

    site = await serve(Callbacks(message=on_message))
    async with site.connect(mint()) as client:
        await opened(client)
        for number in range(PENDING_SENDS_MAX_COUNT + 1):
            await client.send(encode({"type": "send", "data": "x", "ref": number}))
        reply = await recv(client)
        assert (reply["ref"], reply["code"]) == (PENDING_SENDS_MAX_COUNT, 429)
        may_end.set()
        refs = [(await recv(client))["ref"] for _ in range(PENDING_SENDS_MAX_COUNT)]
        assert refs == list(range(PENDING_SENDS_MAX_COUNT))


async def test_application_error_is_reported_to_the_client(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(Callbacks):
        async def receive(self, message: UpdateMessage) -> None:
            raise ZeroDivisionError

    site = await serve(Faulty())
    async with site.connect(mint()) as client:
        await opened(client)
        reply = await send(client, data="secret", ref=1)
        assert (reply["type"], reply["ref"], reply["code"]) == ("error", 1, 500)
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


async def test_403(serve: Serve) -> None:
    site = await serve()
    async with site.connect(mint(send=["group:lobby"])) as client:
        await opened(client)
        assert (await send(client, data="x", group="lobby", ref=1))["type"] == "sent"
        reply = await send(client, data="x", group="secret", ref=2)
        assert (reply["type"], reply["ref"], reply["code"]) == ("error", 2, 403)
