"""Update-messages: to the application or to other clients, by HTTP and over the WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from tests.server.application import CAME, MESSAGE, Application, running_application
from tests.server.conftest import Serve
from tests.server.kit import Json, Site, mint, opened, recv
from tests.server.process import ServerProcess, server_process
from websockets.asyncio.client import ClientConnection

from headrace import limits
from headrace.application import UpdateMessage
from headrace.errors import RequestError
from headrace.server import Callbacks

GRANTS = ["group:lobby", "group:game-*", "client:bob", r"client:\*"]
only_asyncio = pytest.mark.asyncio(loop_factories=["asyncio"])  # the process has its own loop


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    async with running_application() as application:
        yield application


@pytest.fixture
async def site(application: Application) -> AsyncIterator[ServerProcess]:
    async with server_process("--app-url", application.url, "--drain-s", "0") as site:
        yield site


async def post(site: Site, token: str, **body: object) -> tuple[int, Json]:
    status, answer, headers = await site.post("/v1/messages", body, key=token)
    assert (status in (429, 503)) is ("retry-after" in headers)
    return status, answer


async def say(client: ClientConnection, **fields: object) -> Json:
    """Send over the WebSocket and return the answer."""
    await client.send(encode({"type": "send", **fields}))
    return await recv(client)


def encode(frame: Json) -> str:
    return json.dumps(frame)


# --- by HTTP -----------------------------------------------------------------------------------


@only_asyncio
@pytest.mark.parametrize(
    ("target", "told"),
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
async def test_what_no_claim_covers_goes_to_the_application(
    application: Application, site: ServerProcess, target: Json, told: Json
) -> None:
    token = mint("alice/ü", send=GRANTS)
    assert (await post(site, token, data="žluť\n\x00", **target))[0] == 202
    assert application.messages == [{"from": "alice/ü", "data": "žluť\n\x00", **told}]
    assert (await site.stats())["messages"] == 0


@only_asyncio
async def test_what_a_claim_covers_is_relayed_and_the_application_is_not_asked(
    application: Application, site: ServerProcess
) -> None:
    token = mint("alice", send=GRANTS)
    async with site.connect(mint("bob", groups=["lobby"])) as bob:
        await opened(bob)
        targets: list[Json] = [{"to": "bob"}, {"to": ["*", "bob"]}, {"group": "lobby"}]
        for target in targets:
            status, answer = await post(site, token, data="x", **target)
            assert (status, answer["sessions"]) == (200, 1)
            assert (await recv(bob))["id"] == answer["id"]
        assert (await post(site, token, data="x", group="game-7"))[1]["sessions"] == 0
    assert application.messages == []


@only_asyncio
async def test_faults_are_found_before_the_application_is_asked(
    application: Application, site: ServerProcess
) -> None:
    token = mint()
    assert (await post(site, token, data="x" * 32769))[0] == 413
    assert (await post(site, token, data="x", to=""))[0] == 400
    assert (await post(site, token, data="x", to="a", group="g"))[0] == 400
    assert (await post(site, token, data="\ud800"))[0] == 400
    assert (await post(site, token + "x", data="x"))[0] == 401
    assert application.posts == []
    assert (await post(site, token, data="x" * 32768))[0] == 202


async def test_a_client_names_no_more_than_so_many_others(serve: Serve) -> None:
    site = await serve()
    token = mint(send=["client:*"])
    names = [str(number) for number in range(limits.CLIENT_TARGETS_MAX_COUNT + 1)]
    assert (await post(site, token, data="x", to=names[1:]))[0] == 200
    status, answer = await post(site, token, data="x", to=names)
    assert status == 400
    assert "names 101 clients" in answer["detail"]
    async with site.connect(token) as client:
        await opened(client)
        assert (await say(client, data="x", to=names, ref=1))["code"] == 400


@only_asyncio
async def test_an_application_that_refuses_or_is_down(
    application: Application, site: ServerProcess
) -> None:
    application.answer = lambda kind, body: 500
    assert (await post(site, mint(), data="x"))[0] == 503
    await application.down()
    assert (await post(site, mint(), data="x"))[0] == 503
    await application.up()
    application.answer = lambda kind, body: 200
    assert (await post(site, mint(), data="x"))[0] == 202


@only_asyncio
async def test_a_message_comes_behind_its_client_s_connected(
    application: Application, site: ServerProcess
) -> None:
    for number in range(10):
        async with site.connect(mint(f"client {number}")) as client:
            await opened(client)
            assert (await post(site, mint(f"client {number}"), data="x"))[0] == 202
    posts = [post for post in application.posts if post.kind in (CAME, MESSAGE)]
    assert [post.kind for post in posts] == [CAME, MESSAGE] * 10


@only_asyncio
async def test_a_client_that_sends_too_much_is_told_to_wait(site: ServerProcess) -> None:
    token = mint(send=["group:*"])
    statuses = [(await post(site, token, data="x", group="g"))[0] for _ in range(190)]
    assert statuses == [200] * 190

    async def many() -> list[int]:
        posts = [post(site, token, data="x", group="g") for _ in range(300)]
        return [status for status, _ in await asyncio.gather(*posts)]

    while 429 not in (statuses := await many()):
        pass
    assert set(statuses) <= {200, 429}
    async with site.connect(token) as client:  # it shares the rate
        await opened(client)
        refused: list[Json] = []
        while not refused:
            for ref in range(60):
                await client.send(encode({"type": "send", "data": "x", "group": "g", "ref": ref}))
            answers = [await recv(client) for _ in range(60)]
            refused = [answer for answer in answers if answer["type"] == "error"]
        assert {answer["code"] for answer in refused} == {429}
    assert (await post(site, mint("bob", send=["group:*"]), data="x", group="g"))[0] == 200
    while (await post(site, token, data="x", group="g"))[0] == 429:
        pass


async def test_without_an_application_it_is_the_claim_or_nothing(serve: Serve) -> None:
    site = await serve()
    assert (await post(site, mint(send=GRANTS), data="x", group="lobby"))[0] == 200
    status, answer = await post(site, mint(send=GRANTS), data="x", group="secret")
    assert status == 403
    assert "no application is set" in answer["detail"]


async def test_a_callback_without_a_message_function_is_no_application(serve: Serve) -> None:
    site = await serve()
    site.server.hub.application = Callbacks()
    assert (await post(site, mint(), data="x"))[0] == 403


async def test_callbacks_take_messages(serve: Serve) -> None:
    site = await serve()
    heard = []

    async def hear(message: UpdateMessage) -> None:
        await asyncio.sleep(0)
        heard.append(message)
        if message.data == "bad":
            raise LookupError("a fault of the application's")
        if message.data == "no":
            raise RequestError(403, "the application says no")

    site.server.hub.application = Callbacks(message=hear)
    assert (await post(site, mint(), data="x", to=["a", "b"]))[0] == 202
    assert heard == [UpdateMessage("alice", "x", ("a", "b"))]
    assert (await post(site, mint(), data="bad"))[0] == 503
    status, answer = await post(site, mint(), data="no")
    assert (status, answer["detail"]) == (403, "the application says no")


# --- over the WebSocket ------------------------------------------------------------------------


@only_asyncio
async def test_over_the_websocket(application: Application, site: ServerProcess) -> None:
    async with (
        site.connect(mint("alice", send=GRANTS)) as alice,
        site.connect(mint("bob")) as bob,
    ):
        await opened(alice)
        await opened(bob)
        relayed = await say(alice, data="hi", to="bob", ref=1)
        assert relayed == {"type": "sent", "ref": 1, "id": relayed["id"]}
        assert await recv(bob) == {"id": relayed["id"], "data": "hi"}
        taken = await say(alice, data="to the application", ref="two")
        assert taken == {"type": "sent", "ref": "two", "id": None}
        assert application.messages == [{"from": "alice", "data": "to the application"}]
        assert (await say(alice, data="no ref"))["type"] == "sent"
        for fields, code in (
            ({"data": "x" * 32769}, 413),
            ({"data": "x", "to": ""}, 400),
            ({"data": "x", "to": "a", "group": "g"}, 400),
        ):
            answer = await say(alice, ref=3, **fields)
            assert (answer["type"], answer["ref"], answer["code"]) == ("error", 3, code)
            assert answer["detail"]
        unfit: list[Json] = [{}, {"data": 5}, {"data": "x", "to": 5}, {"data": "x", "colour": 1}]
        for fields in unfit:
            answer = await say(alice, ref=5, **fields)
            assert (answer["type"], answer["ref"], answer["code"]) == ("error", 5, 400)
        nested = "[" * 5000 + "]" * 5000
        for unreadable in (
            *('{"type":"send","data":"x","ref":[6]}', '{"type":"send","ref":6', "x", nested),
            *(f'{{"type":"bogus","x":{nested[deep:-deep]}}}' for deep in (3500, 2000, 1)),
        ):
            await alice.send(unreadable)
            answer = await recv(alice)
            assert (answer["type"], answer["code"], "ref" in answer) == ("error", 400, False)
        application.answer = lambda kind, body: 500
        answer = await say(alice, data="x", ref=4)
        assert (answer["type"], answer["ref"], answer["code"]) == ("error", 4, 503)


@only_asyncio
async def test_many_at_once_reach_the_application_in_their_order(
    application: Application, site: ServerProcess
) -> None:
    async with site.connect(mint()) as client:
        await opened(client)
        for number in range(60):
            await client.send(encode({"type": "send", "data": str(number), "ref": number}))
        answers = [await recv(client) for _ in range(60)]
    assert [answer["ref"] for answer in answers] == list(range(60))
    assert [one["data"] for one in application.messages] == [str(n) for n in range(60)]


async def test_too_many_at_a_time_are_refused(serve: Serve) -> None:
    site = await serve()
    may_end = asyncio.Event()

    async def hear(message: UpdateMessage) -> None:
        await may_end.wait()

    site.server.hub.application = Callbacks(message=hear)
    async with site.connect(mint()) as client:
        await opened(client)
        for number in range(limits.CLIENT_SENDS_MAX_COUNT + 1):
            await client.send(encode({"type": "send", "data": "x", "ref": number}))
        answer = await recv(client)
        assert (answer["ref"], answer["code"]) == (limits.CLIENT_SENDS_MAX_COUNT, 429)
        may_end.set()
        refs = [(await recv(client))["ref"] for _ in range(limits.CLIENT_SENDS_MAX_COUNT)]
        assert refs == list(range(limits.CLIENT_SENDS_MAX_COUNT))


async def test_what_fails_within_is_answered_too(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    site = await serve()

    class Faulty(Callbacks):
        async def receive(self, message: UpdateMessage) -> None:
            raise ZeroDivisionError

    site.server.hub.application = Faulty()
    async with site.connect(mint()) as client:
        await opened(client)
        answer = await say(client, data="secret", ref=1)
        assert (answer["type"], answer["ref"], answer["code"]) == ("error", 1, 500)
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


async def test_403_over_the_websocket(serve: Serve) -> None:
    site = await serve()
    async with site.connect(mint(send=["group:lobby"])) as client:
        await opened(client)
        assert (await say(client, data="x", group="lobby", ref=1))["type"] == "sent"
        answer = await say(client, data="x", group="secret", ref=2)
        assert (answer["type"], answer["ref"], answer["code"]) == ("error", 2, 403)
