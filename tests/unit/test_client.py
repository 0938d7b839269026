"""headrace.client: both clients against a scripted server, in the same words."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from headrace.api.channels import ChannelAnswer
from headrace.api.presence import ClientPresence
from headrace.api.presence import GroupPresence as ServerGroupPresence
from headrace.api.send import SendAnswer, SendRequest
from headrace.api.status import Stats as ServerStats
from headrace.client import (
    AsyncClient,
    Channel,
    Client,
    ConfigError,
    GroupPresence,
    HeadraceError,
    Presence,
    RequestError,
    Send,
    Sent,
    Stats,
    UnreachableError,
    batch,
    exchange,
)

KEY = "the-key"
SECRET = "a secret of the tests, 32 bytes+"
SENT = {"id": "1-0", "sessions": 2}


class Application:
    """A stand-in for the server; it answers what it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[web.Response | Callable[[bytes], web.Response] | None] = []
        self.asked: list[tuple[str, str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((request.method, request.raw_path, body))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        answer = self.answers.pop(0)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer if isinstance(answer, web.Response) else answer(body)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/base/"))

    @property
    def bodies(self) -> list[Any]:
        """What was asked, without the keys that were made up."""
        return [json.loads(body) for _, _, body in self.asked]


class Caller:
    """Calls a client's methods by name, whichever client it is."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    async def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        method = getattr(self.client, name)
        if isinstance(self.client, Client):
            return await asyncio.to_thread(method, *args, **kwargs)
        return await method(*args, **kwargs)

    async def send_batch(self, sends: Any) -> list[Sent | RequestError]:
        if isinstance(self.client, Client):
            return await asyncio.to_thread(lambda: list(self.client.send_batch(sends)))  # type: ignore[arg-type]  # narrowed outside the lambda
        return [answer async for answer in self.client.send_batch(sends)]


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    application = Application()
    async with application.server:
        yield application
        assert not application.answers


@pytest.fixture(params=[Client, AsyncClient])
def kind(request: pytest.FixtureRequest) -> type[Client | AsyncClient]:
    kind: type[Client | AsyncClient] = request.param
    return kind


@pytest.fixture
async def call(
    application: Application, kind: type[Client | AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Caller]:
    monkeypatch.setattr(exchange, "FIRST_WAIT_S", 0.001)
    caller = Caller(kind(application.url, KEY))
    yield caller
    await caller("close")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_URL", raising=False)
    monkeypatch.delenv("HEADRACE_API_KEY", raising=False)


def json_response(body: object, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


async def test_create_channel(application: Application, call: Caller) -> None:
    application.answers = [json_response({"token": "a.b.c", "client_id": "alice", "expires_at": 7})]
    assert await call("create_channel", "alice") == Channel("a.b.c", "alice", 7.0)
    assert application.asked[0][:2] == ("POST", "/base/v1/channels")
    assert application.headers[0]["authorization"] == "Bearer the-key"
    assert application.headers[0]["content-type"] == "application/json"
    assert application.bodies == [{"client_id": "alice"}]


async def test_create_channel_with_everything(application: Application, call: Caller) -> None:
    application.answers = [json_response({"token": "t", "client_id": "é", "expires_at": 7, "x": 1})]
    await call(
        "create_channel",
        "é",
        duration_minutes=1440,
        groups=iter(["lobby"]),
        send=["group:lobby", "client:*"],
    )
    assert application.bodies == [
        {
            "client_id": "é",
            "duration_minutes": 1440,
            "groups": ["lobby"],
            "send": ["group:lobby", "client:*"],
        }
    ]


class Safe(str):
    """What template engines make of text."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ({"to": "alice"}, {"to": "alice"}),
        ({"to": Safe("alice")}, {"to": "alice"}),
        ({"to": ["alice", "bob"]}, {"to": ["alice", "bob"]}),
        ({"to": {"alice"}}, {"to": ["alice"]}),
        ({"to": ""}, {"to": ""}),
        ({"group": "lobby"}, {"group": "lobby"}),
        ({"group": ""}, {"group": ""}),
        ({"everyone": True}, {"everyone": True}),
        ({}, {}),
        ({"to": "alice", "idempotency_key": "k"}, {"to": "alice", "idempotency_key": "k"}),
    ],
)
async def test_send(
    application: Application, call: Caller, target: dict[str, Any], body: dict[str, Any]
) -> None:
    application.answers = [json_response(SENT)]
    assert await call("send", Safe("Grüße"), **target) == Sent("1-0", 2)
    assert application.asked[0][:2] == ("POST", "/base/v1/send")
    (asked,) = application.bodies
    if "idempotency_key" not in body:
        assert len(asked.pop("idempotency_key")) == 36
    assert asked == {"data": "Grüße", **body}


async def test_a_retry_sends_the_same_key(application: Application, call: Caller) -> None:
    refusal = web.Response(status=503, headers={"Retry-After": "0"})
    application.answers = [refusal, None, json_response(SENT)]
    assert await call("send", "Hello", to="alice") == Sent("1-0", 2)
    first, second, third = application.bodies
    assert first == second == third
    application.answers = [json_response(SENT)]
    await call("send", "Hello", to="alice")
    assert application.bodies[3]["idempotency_key"] != first["idempotency_key"]


async def test_without_retries_there_is_no_key(
    application: Application, kind: type[Client | AsyncClient]
) -> None:
    call = Caller(kind(application.url, KEY, retry_s=0))
    application.answers = [json_response(SENT), web.Response(status=503)]
    await call("send", "Hello", to="alice")
    assert application.bodies == [{"data": "Hello", "to": "alice"}]
    with pytest.raises(RequestError, match="answered 503"):
        await call("send", "Hello", to="alice")
    await call("close")


PATHS = [
    ("alice", "alice"),
    ("a/b", "a%2Fb"),
    ("..", "%2E%2E"),
    (".", "%2E"),
    ("...", "..."),
    ("-a--b=c&d+e f?#%", "-a--b%3Dc%26d%2Be%20f%3F%23%25"),
    ("é", "%C3%A9"),
    ("😀", "%F0%9F%98%80"),
    ("~_.-", "~_.-"),
    ("x" * 256, "x" * 256),
]


@pytest.mark.parametrize(("name", "quoted"), PATHS)
async def test_paths(application: Application, call: Caller, name: str, quoted: str) -> None:
    there = {"client_id": name, "online": True, "since": 7, "sessions": 2}
    group = {"group": name, "count": 1, "clients": [there]}
    application.answers = [json_response(body) for body in (there, there, there, there, group)]
    assert await call("join", name, name) == 2
    assert await call("leave", name, name) == 2
    assert await call("revoke", name) == 2
    presence = Presence(name, online=True, since=7.0, sessions=2)
    assert await call("presence", name) == presence
    assert await call("presence_of_group", name) == GroupPresence(name, 1, (presence,))
    assert application.asked == [
        ("PUT", f"/base/v1/groups/{quoted}/members/{quoted}", b""),
        ("DELETE", f"/base/v1/groups/{quoted}/members/{quoted}", b""),
        ("DELETE", f"/base/v1/channels/{quoted}", b""),
        ("GET", f"/base/v1/presence/{quoted}", b""),
        ("GET", f"/base/v1/presence?group={quoted}", b""),
    ]


async def test_stats(application: Application, call: Caller) -> None:
    fields = set(Stats.__struct_fields__) - {"slowest"}
    numbers: dict[str, Any] = dict.fromkeys(fields, 3)
    application.answers = [json_response({**numbers, "version": "1", "new": []})]
    stats = await call("stats")
    assert (stats.version, stats.uptime_s, stats.history_bytes) == ("1", 3.0, 3)
    assert application.asked == [("GET", "/base/v1/stats", b"")]
    assert "content-type" not in application.headers[0]


def test_the_structs_are_the_servers() -> None:
    assert Channel.__struct_fields__ == ChannelAnswer.__struct_fields__
    assert Sent.__struct_fields__ == SendAnswer.__struct_fields__
    assert Stats.__struct_fields__ == ServerStats.__struct_fields__
    assert Send.__struct_fields__ == SendRequest.__struct_fields__
    assert Presence.__struct_fields__ == ClientPresence.__struct_fields__
    assert GroupPresence.__struct_fields__ == ServerGroupPresence.__struct_fields__


async def test_a_refusal(application: Application, call: Caller) -> None:
    problem = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "too long"}
    application.answers = [json_response(problem, 400)]
    with pytest.raises(RequestError, match="too long") as caught:
        await call("create_channel", "alice")
    assert caught.value.status == 400
    assert dict(caught.value.headers)["content-type"].startswith("application/json")


async def test_what_answers_is_no_server(application: Application, call: Caller) -> None:
    application.answers = [web.Response(text="<html>")]
    with pytest.raises(UnreachableError, match="no Headrace server"):
        await call("send", "Hello", to="alice")


async def test_nobody_there(kind: type[Client | AsyncClient], unused_tcp_port: int) -> None:
    call = Caller(kind(f"http://127.0.0.1:{unused_tcp_port}", KEY, retry_s=0))
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{unused_tcp_port}") as caught:
        await call("stats")
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, HeadraceError)
    await call("close")


async def test_a_server_that_says_nothing(kind: type[Client | AsyncClient]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        call = Caller(kind(url, KEY, retry_s=0, timeout_s=0.05))
        with pytest.raises(UnreachableError, match="no answer in time"):
            await call("stats")
        await call("close")


@pytest.mark.parametrize(
    ("method", "arguments", "fault"),
    [
        ("revoke", [""], "the client ID is empty"),
        ("join", ["", "alice"], "the group name is empty"),
        ("leave", ["lobby", "\ud800"], "client ID has half of a surrogate pair"),
        ("send", ["\ud800"], "half of a surrogate pair at character 0"),
        ("create_channel", ["a\udfff"], "half of a surrogate pair at character 1"),
    ],
)
async def test_what_cannot_be_asked(
    call: Caller, method: str, arguments: list[str], fault: str
) -> None:
    with pytest.raises(RequestError, match=fault) as caught:
        await call(method, *arguments)
    assert caught.value.status == 400


# Batches.


def answers_to(body: bytes) -> web.Response:
    """As the server: a bad line fails alone."""
    lines = []
    for number, line in enumerate(body.splitlines(), start=1):
        data = json.loads(line)["data"]
        bad = {"title": "Bad Request", "status": 400, "detail": f"{data} is bad", "line": number}
        lines.append(json.dumps(bad if data.startswith("bad") else {"id": data, "sessions": 1}))
    return web.Response(text="".join([line + "\n" for line in lines]))


async def test_a_batch(application: Application, call: Caller) -> None:
    application.answers = [answers_to]
    answers = await call.send_batch(
        [
            Send(data="1-0", to="alice"),
            Send(data="bad", group="lobby"),
            Send(data="\ud800", everyone=True),
            Send(data="2-0", to=["alice", "bob"], idempotency_key="k"),
        ]
    )
    first, second, third, fourth = answers
    assert (first, fourth) == (Sent("1-0", 1), Sent("2-0", 1))
    assert isinstance(second, RequestError)
    assert (second.status, second.detail) == (400, "bad is bad")
    assert isinstance(third, RequestError)
    assert "surrogate" in third.detail
    method, path, body = application.asked[0]
    assert (method, path) == ("POST", "/base/v1/send/batch")
    assert application.headers[0]["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in body.splitlines()]
    assert len({line.pop("idempotency_key") for line in lines}) == 3
    assert lines == [
        {"data": "1-0", "to": "alice"},
        {"data": "bad", "group": "lobby"},
        {"data": "2-0", "to": ["alice", "bob"]},
    ]


async def test_a_long_batch_goes_in_parts(
    application: Application, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_MAX_SENDS", 3)
    application.answers = [answers_to, None, answers_to, answers_to]
    sends = [Send(data=str(number), to="alice") for number in range(8)]
    assert await call.send_batch(iter(sends)) == [Sent(str(number), 1) for number in range(8)]
    assert [body.count(b"\n") for _, _, body in application.asked] == [3, 3, 3, 2]
    assert application.asked[1] == application.asked[2]  # the part that got no answer


async def test_a_heavy_batch_goes_in_parts(application: Application, call: Caller) -> None:
    application.answers = [answers_to, answers_to]
    data = "x" * 32_768
    sends = (Send(data=data, to="alice") for _ in range(9))
    assert await call.send_batch(sends) == [Sent(data, 1)] * 9
    assert [body.count(b"\n") for _, _, body in application.asked] == [8, 1]


async def test_an_empty_batch(call: Caller) -> None:
    assert await call.send_batch([]) == []
    (answer,) = await call.send_batch([Send(data="\ud800", to="alice")])
    assert isinstance(answer, RequestError)


async def test_a_refused_batch(application: Application, call: Caller) -> None:
    application.answers = [json_response({"detail": "no key"}, 401)]
    with pytest.raises(RequestError, match="no key"):
        await call.send_batch([Send(data="1", to="alice")])


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ('{"id":"1-0","sessions":0}\n', "to 2 sends came 1 answers"),
        ("<html>\n<body>\n", "no Headrace server"),
        ('{"id":"1-0","sessions":0}\n{}\n', "no Headrace server"),
    ],
)
async def test_what_is_no_batch_answer(
    application: Application, call: Caller, answer: str, fault: str
) -> None:
    application.answers = [web.Response(text=answer)]
    with pytest.raises(UnreachableError, match=fault):
        await call.send_batch([Send(data="1", to="alice"), Send(data="2", to="alice")])


async def test_a_batch_from_an_asynchronous_iterator(application: Application) -> None:
    async def sends() -> AsyncIterator[Send]:
        yield Send(data="1", to="alice")
        yield Send(data="2", to="alice")

    application.answers = [answers_to]
    async with AsyncClient(application.url, KEY) as client:
        assert [a async for a in client.send_batch(sends())] == [Sent("1", 1), Sent("2", 1)]


async def test_answers_flow_while_sends_still_come(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_MAX_SENDS", 2)
    application.answers = [answers_to] * 3
    taken = 0

    def sends() -> Iterator[Send]:
        nonlocal taken
        for taken in range(1, 7):
            yield Send(data=str(taken), to="alice")

    async with AsyncClient(application.url, KEY) as client:
        seen = [(taken, answer) async for answer in client.send_batch(sends())]
    assert [count for count, _ in seen] == [2, 2, 4, 4, 6, 6]


# Where the server is, and what opens it.


async def test_the_environment(
    application: Application, kind: type[Client | AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_URL", application.url)
    monkeypatch.setenv("HEADRACE_API_KEY", "from-the-environment")
    application.answers = [json_response(SENT), json_response(SENT)]
    for call in (Caller(kind()), Caller(kind(api_key=KEY))):
        await call("send", "Hello", to="alice")
        await call("close")
    assert [headers["authorization"] for headers in application.headers] == [
        "Bearer from-the-environment",
        "Bearer the-key",
    ]


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8080", "ftp://a", "http://", "http://a:port", "http://a:0", "http://a/?b",
     "http://a/#b", "http://[::1", "http://a b", "http://é"],
)  # fmt: skip
def test_a_url_that_is_none(
    url: str, kind: type[Client | AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"^url is .*; it must be like http://127.0.0.1:8080"):
        kind(url, KEY)
    if url:
        monkeypatch.setenv("HEADRACE_URL", url)
        with pytest.raises(ConfigError, match=r"^HEADRACE_URL is"):
            kind()


def test_a_user_in_the_url(kind: type[Client | AsyncClient]) -> None:
    with pytest.raises(ConfigError, match="names a user") as caught:
        kind("http://alice:the-password@127.0.0.1:8080", KEY)
    assert "the-password" not in str(caught.value)


def test_a_key_that_is_none(kind: type[Client | AsyncClient]) -> None:
    for key in ("", "two words", "ключ", "a\nb"):
        with pytest.raises(ConfigError, match="no header can carry") as caught:
            kind("http://127.0.0.1:8080", key)
        assert not key or key not in str(caught.value)


async def test_no_url_and_no_key(kind: type[Client | AsyncClient]) -> None:
    call = Caller(kind())
    with pytest.raises(ConfigError, match="give url, or HEADRACE_URL"):
        await call("stats")
    await call("close")
    call = Caller(kind("http://127.0.0.1:8080"))
    with pytest.raises(ConfigError, match="give api_key, or HEADRACE_API_KEY"):
        await call("stats")
    await call("close")


# Minting with the secret.


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode()])
async def test_minting(kind: type[Client | AsyncClient], secret: str | bytes) -> None:
    call = Caller(kind(secret=secret))
    channel = await call(
        "create_channel", Safe("é"), duration_minutes=1, groups=["g"], send=["group:g"]
    )
    claims = jwt.decode(channel.token, SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["groups"], claims["send"]) == ("é", ["g"], ["group:g"])
    assert claims["exp"] - claims["iat"] == pytest.approx(60)
    assert (channel.client_id, channel.expires_at) == ("é", claims["exp"])
    with pytest.raises(RequestError, match="duration_minutes is 1441") as caught:
        await call("create_channel", "alice", duration_minutes=1441)
    assert caught.value.status == 400
    await call("close")


def test_a_secret_that_is_too_short(kind: type[Client | AsyncClient]) -> None:
    with pytest.raises(ConfigError, match="at least 32"):
        kind(secret="short")


async def test_context_managers(application: Application) -> None:
    application.answers = [json_response(SENT)]
    async with AsyncClient(application.url, KEY) as asynchronous:
        await asynchronous.send("Hello", to="alice")
    with pytest.raises(RuntimeError, match="closed"):
        await asynchronous.send("Hello", to="alice")
    with Client(application.url, KEY) as blocking:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        blocking.send("Hello", to="alice")
