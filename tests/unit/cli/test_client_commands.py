"""headrace.cli.client_commands: send, listen."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import Result
from tests.unit.cli.conftest import KEYS, NO_VARIABLES, SECRET, error_of, run

from headrace.cli.client_commands import local_url
from headrace.settings import Settings


class SendServer:
    """Responds to `POST /v1/send`, and records the requests."""

    def __init__(self, status: int = 200, body: bytes = b'{"id":"1-0","sessions":2}') -> None:
        self.status = status
        self.body = body
        self.requests: list[tuple[str, str | None, Any]] = []

    async def respond(self, request: web.Request) -> web.Response:
        key = request.headers.get("Authorization")
        self.requests.append((request.path, key, await request.json()))
        return web.Response(status=self.status, body=self.body)

    async def send(self, *arguments: str, stdin: bytes | None = None) -> Result:
        """Run `headrace send` against it."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self.respond)
        async with TestServer(app) as server:
            env = {"HEADRACE_URL": str(server.make_url("/base/")), **KEYS}
            return await asyncio.to_thread(run, "send", *arguments, stdin=stdin, env=env)


@pytest.mark.parametrize(
    ("arguments", "stdin", "body"),
    [
        (["alice", "Hellö"], None, {"to": "alice", "data": "Hellö"}),
        (["alice", ""], None, {"to": "alice", "data": ""}),
        (["--group", "lobby", "Hello"], None, {"group": "lobby", "data": "Hello"}),
        (["--group", "", "Hello"], None, {"group": "", "data": "Hello"}),
        (["--everyone", "Hello"], None, {"everyone": True, "data": "Hello"}),
        (["alice", "-"], "a\nö\n".encode(), {"to": "alice", "data": "a\nö"}),
        (["alice", "-"], b"a\r\n", {"to": "alice", "data": "a"}),
        (["alice", "-"], b"", {"to": "alice", "data": ""}),
        (["--", "-a", "-b"], None, {"to": "-a", "data": "-b"}),
    ],
)
async def test_send(arguments: list[str], stdin: bytes | None, body: dict[str, object]) -> None:
    server = SendServer()
    result = await server.send(*arguments, stdin=stdin)
    assert server.requests == [("/base/v1/send", "Bearer the-key", body)]
    assert (result.exit_code, result.output) == (0, "id=1-0 sessions=2\n")


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (400, {"title": "Bad request", "detail": "data is missing"}, "refused: data is missing"),
        (401, {"detail": "wrong key"}, "refused: wrong key; is the API key the server's?"),
        (503, {"title": "Unavailable"}, "refused: Unavailable"),
        (404, "not JSON", "refused: the server responded with status 404"),
        (302, None, "refused: the server responded with status 302"),
        (200, "not JSON", "cannot reach"),
    ],
)
async def test_send_refused(status: int, body: object, text: str) -> None:
    result = await SendServer(status, json.dumps(body).encode()).send("alice", "Hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert text in result.stderr


def test_send_usage() -> None:
    assert "got 1 (quote a message that contains spaces)" in error_of(2, "send", "alice", env=KEYS)
    assert "there are two arguments" in error_of(2, "send", "alice", "Hello", "there", env=KEYS)
    assert "one argument, MESSAGE; got 2" in error_of(2, "send", "--everyone", "a", "b", env=KEYS)
    assert "exclude each other" in error_of(2, "send", "--everyone", "--group=a", "b", env=KEYS)
    assert "not UTF-8, at byte 1" in error_of(2, "send", "alice", "-", stdin=b"a\xff", env=KEYS)
    assert "an argument is not UTF-8" in error_of(2, "send", "alice", "\udcff", env=KEYS)
    assert "no API key is set" in error_of(2, "send", "alice", "Hello")
    assert "a header cannot hold" in error_of(2, "send", "a", "b", env={"HEADRACE_API_KEY": "ключ"})


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8080", "ftp://a", "http://", "http://a:port", "http://a:0", "http://a/?b",
     "http://[::1", "http://a b", "http://é"],
)  # fmt: skip
def test_a_url_that_is_not_a_base_url(url: str) -> None:
    assert "it must be like http://127.0.0.1:8080" in error_of(
        2, "send", "a", "b", "--url", url, env=KEYS
    )
    if url:
        assert "HEADRACE_URL is" in error_of(2, "send", "a", "b", env={"HEADRACE_URL": url, **KEYS})


def test_send_without_a_server(unused_tcp_port: int) -> None:
    port = str(unused_tcp_port)
    assert error_of(1, "send", "a", "b", env={"HEADRACE_PORT": port, **KEYS}).startswith(
        f"Error: cannot reach http://127.0.0.1:{port}: "
    )


# --- listen ---------------------------------------------------------------------------------------


def test_listen_usage() -> None:
    assert "give either CLIENT_ID or --token" in error_of(2, "listen", env=KEYS)
    assert "give either CLIENT_ID or --token" in error_of(2, "listen", "a", "--token=b", env=KEYS)
    assert "--token is not a token" in error_of(2, "listen", "--token=a b")
    assert "--group needs CLIENT_ID" in error_of(2, "listen", "--token=a", "--group=b")
    assert "no API key is set" in error_of(2, "listen", "alice")
    assert "client ID '' is 0 bytes" in error_of(2, "listen", "", env=KEYS)


def test_listen_without_a_server(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    assert f"cannot reach {url}: " in error_of(
        1, "listen", "alice", env={"HEADRACE_URL": url, **KEYS}
    )
    assert f"cannot reach {url}: " in error_of(
        1, "listen", "alice", env={"HEADRACE_URL": url, "HEADRACE_API_KEY": "the-key"}
    )


class ListenServer:
    """Creates a channel; sends two messages to each connection and closes it."""

    def __init__(self, close_code: int = 1000) -> None:
        self.close_code = close_code
        self.bodies: list[Any] = []
        self.tokens: list[str] = []

    async def channels(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        return web.json_response(
            {"token": "from.the.server", "client_id": "alice", "expires_at": 7}
        )

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(protocols=["headrace.v1"])
        await websocket.prepare(request)
        self.tokens.append(request.headers["Sec-WebSocket-Protocol"].rpartition("token.")[2])
        await websocket.send_str('{"type":"open","id":"1-0","recovered":null,"ping_interval":25}')
        await websocket.send_str('{"id":"2-0","data":"Hellö"}')
        await websocket.send_str('{"id":"3-0","data":"a\\nb","group":"lobby"}')
        await websocket.close(code=self.close_code)
        return websocket

    async def listen(self, *arguments: str, env: Mapping[str, str] = NO_VARIABLES) -> Result:
        """Run `headrace listen` against it."""
        app = web.Application()
        app.router.add_post("/v1/channels", self.channels)
        app.router.add_get("/v1/connect", self.connect)
        async with TestServer(app) as server:
            env = {"HEADRACE_URL": str(server.make_url("")), **env}
            return await asyncio.to_thread(run, "listen", *arguments, env=env)


async def test_listen_with_the_secret() -> None:
    server = ListenServer()
    result = await server.listen("alice", "--group=lobby", env=KEYS)
    assert (result.exit_code, result.stdout) == (0, "Hellö\na\nb\n")
    assert result.stderr == "closed: normal\n"
    claims = jwt.decode(server.tokens[0], SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["groups"]) == ("alice", ["lobby"])


async def test_listen_with_the_api_key() -> None:
    server = ListenServer()
    result = await server.listen(
        "alice", "--group=lobby", "--json", env={"HEADRACE_API_KEY": "the-key"}
    )
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"id": "2-0", "data": "Hellö"},
        {"id": "3-0", "data": "a\nb", "group": "lobby"},
    ]
    assert server.bodies == [{"client_id": "alice", "groups": ["lobby"]}]
    assert server.tokens == ["from.the.server"]


async def test_listen_with_a_token() -> None:
    server = ListenServer(close_code=4003)
    result = await server.listen("--token=from.the.caller")
    assert (result.exit_code, result.stdout) == (1, "Hellö\na\nb\n")
    assert "refused the token: token revoked" in result.stderr
    assert server.tokens == ["from.the.caller"]


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "0.0.0.0", "port": 0}, "http://127.0.0.1:8080"),
        ({"host": "::", "port": 80}, "http://[::1]:80"),
        ({"host": "", "tls_cert": "a", "tls_key": "b"}, "https://127.0.0.1:8080"),
        ({"host": "push.example", "port": 1}, "http://push.example:1"),
    ],
)
def test_local_url(settings: dict[str, Any], url: str) -> None:
    assert local_url(Settings(**settings)) == url
