"""headrace.client.operations: the requests and results of both clients."""

from typing import Any

import jwt
import pytest
from aiohttp import web
from tests.unit.client.conftest import (
    KEY,
    SECRET,
    SENT,
    Caller,
    ClientType,
    FakeServer,
    json_response,
)

from headrace.client import (
    Channel,
    ConfigError,
    GroupPresence,
    InputError,
    Presence,
    RequestError,
    Sent,
    Stats,
    UnreachableError,
)


class SafeString(str):
    """As template engines return it."""

    __slots__ = ()


async def test_create_channel(server: FakeServer, call: Caller) -> None:
    server.responses = [json_response({"token": "a.b.c", "client_id": "alice", "expires_at": 7})]
    assert await call("create_channel", "alice") == Channel("a.b.c", "alice", 7.0)
    assert server.requests[0][:2] == ("POST", "/base/v1/channels")
    assert server.headers[0]["authorization"] == "Bearer the-key"
    assert server.headers[0]["content-type"] == "application/json"
    assert server.bodies == [{"client_id": "alice"}]


async def test_create_channel_with_all_arguments(server: FakeServer, call: Caller) -> None:
    server.responses = [json_response({"token": "t", "client_id": "é", "expires_at": 7, "x": 1})]
    await call(
        "create_channel",
        SafeString("é"),
        duration_minutes=1440,
        groups=iter(["lobby"]),
        send=["group:lobby", "client:*"],
    )
    assert server.bodies == [
        {
            "client_id": "é",
            "duration_minutes": 1440,
            "groups": ["lobby"],
            "send": ["group:lobby", "client:*"],
        }
    ]


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ({"to": "alice"}, {"to": "alice"}),
        ({"to": SafeString("alice")}, {"to": "alice"}),
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
    server: FakeServer, call: Caller, target: dict[str, Any], body: dict[str, Any]
) -> None:
    server.responses = [json_response(SENT)]
    assert await call("send", SafeString("Grüße"), **target) == Sent("1-0", 2)
    assert server.requests[0][:2] == ("POST", "/base/v1/send")
    (sent,) = server.bodies
    if "idempotency_key" not in body:
        assert len(sent.pop("idempotency_key")) == 36
    assert sent == {"data": "Grüße", **body}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "data is dict; it must be a string: send json.dumps(data)"),
        (["x"], "data is list; it must be a string: send json.dumps(data)"),
        (7, "data is int; it must be a string: send json.dumps(data)"),
        (None, "data is NoneType; it must be a string: send json.dumps(data)"),
        (b"x", "data is bytes; it must be a string: send data.decode()"),
    ],
)
async def test_data_that_is_not_a_string(
    server: FakeServer, call: Caller, data: object, text: str
) -> None:
    with pytest.raises(TypeError) as caught:
        await call("send", data, to="alice")
    assert str(caught.value) == text
    assert server.requests == []


async def test_a_retry_uses_the_same_idempotency_key(server: FakeServer, call: Caller) -> None:
    unavailable = web.Response(status=503, headers={"Retry-After": "0"})
    server.responses = [unavailable, None, json_response(SENT)]
    assert await call("send", "Hello", to="alice") == Sent("1-0", 2)
    first, second, third = server.bodies
    assert first == second == third
    server.responses = [json_response(SENT)]
    await call("send", "Hello", to="alice")
    assert server.bodies[3]["idempotency_key"] != first["idempotency_key"]


async def test_no_idempotency_key_without_retries(
    server: FakeServer, client_type: ClientType
) -> None:
    call = Caller(client_type(server.url, KEY, retry_s=0))
    server.responses = [json_response(SENT), web.Response(status=503)]
    await call("send", "Hello", to="alice")
    assert server.bodies == [{"data": "Hello", "to": "alice"}]
    with pytest.raises(RequestError, match="responded with status 503"):
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
async def test_names_in_paths(server: FakeServer, call: Caller, name: str, quoted: str) -> None:
    online = {"client_id": name, "online": True, "since": 7, "sessions": 2}
    group = {"group": name, "count": 1, "clients": [online]}
    member = {"group": name, "client_id": name, "member": True, "sessions": 2}
    revoked = {"client_id": name, "sessions": 2}
    server.responses = [json_response(body) for body in (member, member, revoked, online, group)]
    assert await call("join", name, name) == 2
    assert await call("leave", name, name) == 2
    assert await call("revoke", name) == 2
    presence = Presence(name, online=True, since=7.0, sessions=2)
    assert await call("presence", name) == presence
    assert await call("presence_of_group", name) == GroupPresence(name, 1, (presence,))
    assert server.requests == [
        ("PUT", f"/base/v1/groups/{quoted}/members/{quoted}", b""),
        ("DELETE", f"/base/v1/groups/{quoted}/members/{quoted}", b""),
        ("DELETE", f"/base/v1/channels/{quoted}", b""),
        ("GET", f"/base/v1/presence/{quoted}", b""),
        ("GET", f"/base/v1/presence?group={quoted}", b""),
    ]


async def test_stats(server: FakeServer, call: Caller) -> None:
    fields = set(Stats.__struct_fields__) - {"slowest"}
    numbers: dict[str, Any] = dict.fromkeys(fields, 3)
    server.responses = [json_response({**numbers, "version": "1", "new": []})]
    stats = await call("stats")
    assert (stats.version, stats.uptime_s, stats.history_bytes) == ("1", 3.0, 3)
    assert server.requests == [("GET", "/base/v1/stats", b"")]
    assert "content-type" not in server.headers[0]


async def test_an_error_response(server: FakeServer, call: Caller) -> None:
    problem = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "too long"}
    server.responses = [json_response(problem, 400)]
    with pytest.raises(RequestError, match="too long") as caught:
        await call("create_channel", "alice")
    assert caught.value.status == 400
    assert dict(caught.value.headers)["content-type"].startswith("application/json")


async def test_a_response_of_another_server(server: FakeServer, call: Caller) -> None:
    server.responses = [web.Response(text="<html>")]
    with pytest.raises(UnreachableError, match="not from a Headrace server"):
        await call("send", "Hello", to="alice")


@pytest.mark.parametrize(
    ("method", "arguments", "text"),
    [
        ("revoke", [""], "the client ID is empty"),
        ("join", ["alice", ""], "the group name is empty"),
        ("leave", ["\ud800", "lobby"], "the client ID has .*surrogate"),
        ("send", ["\ud800"], "a lone surrogate at character 0"),
        ("create_channel", ["a\udfff"], "a lone surrogate at character 1"),
    ],
)
async def test_arguments_that_cannot_be_sent(
    server: FakeServer, call: Caller, method: str, arguments: list[str], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        await call(method, *arguments)
    assert server.requests == []


# --- minting tokens with the secret ---------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode()])
async def test_minting(client_type: ClientType, secret: str | bytes) -> None:
    call = Caller(client_type(secret=secret))
    channel = await call(
        "create_channel", SafeString("é"), duration_minutes=1, groups=["g"], send=["group:g"]
    )
    claims = jwt.decode(channel.token, SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["groups"], claims["send"]) == ("é", ["g"], ["group:g"])
    assert claims["exp"] - claims["iat"] == pytest.approx(60)
    assert (channel.client_id, channel.expires_at) == ("é", claims["exp"])
    with pytest.raises(InputError, match="duration_minutes is 1441"):
        await call("create_channel", "alice", duration_minutes=1441)
    await call("close")


def test_a_secret_that_is_too_short(client_type: ClientType) -> None:
    with pytest.raises(ConfigError, match="at least 32"):
        client_type(secret="short")
