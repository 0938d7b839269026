"""The `headrace` command, as a user would type it."""

import asyncio
import json
import re
import runpy
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

import headrace.server
from headrace import config
from headrace.cli import main
from headrace.settings import Settings
from headrace.version import __version__

SECRET = "0123456789abcdef0123456789abcdef"
KEYS = {"HEADRACE_SECRET": SECRET, "HEADRACE_API_KEY": "the-key"}
NONE: Mapping[str, str] = MappingProxyType({})


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SECRET", "SECRETS", "API_KEY", "CONFIG", "URL", "PORT", "HOST"):
        monkeypatch.delenv(f"HEADRACE_{variable}", raising=False)


def run(*arguments: str, stdin: bytes | None = None, env: Mapping[str, str] = NONE) -> Result:
    """Run the command; neither a traceback nor a key comes out, whatever it does."""
    result = CliRunner().invoke(main, arguments, input=stdin, env=env, prog_name="headrace")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    return result


def failed(
    exit_code: int, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] = NONE
) -> str:
    """Run a command that fails; its results' channel stays empty."""
    result = run(*arguments, stdin=stdin, env=env)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    return result.stderr


def done(*arguments: str, env: Mapping[str, str] = NONE) -> str:
    result = run(*arguments, env=env)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


# Help.

COMMANDS = ["check-config", "keygen", "listen", "send", "serve", "token"]


def test_help_names_the_commands() -> None:
    text = done("--help")
    assert re.findall(r"^  ([a-z-]+)  +[A-Z]", text, re.MULTILINE) == COMMANDS
    assert text.count("...") == 1  # in the usage; no description is cut
    assert done("-h") == text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str) -> None:
    text = done(command, "--help")
    assert text.startswith(f"Usage: headrace {command} ")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_help_has_every_setting(command: str) -> None:
    text = done(command, "--help")
    for name in config.FIELDS:
        flag = config.flag_of(config.singular_of(name) if name in config.SEVERAL else name)
        assert re.search(rf"^  {flag} [A-Z\[]", text, re.MULTILINE), flag


def test_version() -> None:
    assert __version__ in done("--version")


def test_usage() -> None:
    assert "No such command 'publish'" in failed(2, "publish")
    assert "No such option '--prot'" in failed(2, "serve", "--prot", "1")
    assert "Missing argument 'CLIENT_ID'" in failed(2, "token")


def test_python_m_headrace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["__main__.py", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("headrace", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("headrace, version ")


# keygen, token.


def test_keygen() -> None:
    keys = {done("keygen") for _ in range(3)}
    assert len(keys) == 3
    assert all(re.fullmatch(r"[\w-]{43}\n", key, re.ASCII) for key in keys)
    secret, api_key = done("keygen", "--env").splitlines()
    assert re.fullmatch(r"HEADRACE_SECRET=[\w-]{43}", secret)
    assert re.fullmatch(r"HEADRACE_API_KEY=[\w-]{43}", api_key)


def claims_of(text: str) -> dict[str, Any]:
    assert re.fullmatch(r"[\w.-]+\n", text, re.ASCII)
    claims: dict[str, Any] = jwt.decode(text.strip(), SECRET, algorithms=["HS256"])
    return claims


def test_token() -> None:
    before = round(time.time(), 3)
    claims = claims_of(done("token", "élève", env=KEYS))
    assert (claims.pop("exp") - claims["iat"], claims["iat"] >= before) == (7200, True)
    del claims["iat"]
    assert claims == {"sub": "élève"}


def test_token_with_all(tmp_path: Path) -> None:
    file = tmp_path / "headrace.toml"
    file.write_text(f'secrets = ["{SECRET}"]\nclient_id_max_bytes = 3\n')
    flags = ["--config", str(file), "--client-id-max-bytes", "5"]
    claims = claims_of(
        done("token", "--minutes=1", "--group=a", "--group=b", "--send=group:a", *flags, "alice")
    )
    assert claims["exp"] - claims["iat"] == 60
    assert (claims["groups"], claims["send"]) == (["a", "b"], ["group:a"])
    assert "client_id is 5 bytes of UTF-8; at most 3" in failed(2, "token", "alice", *flags[:2])


def test_token_faults() -> None:
    assert failed(2, "token", "alice") == (
        "Error: no secret is set, and a token needs the server's: give --secret, HEADRACE_SECRET"
        " or --config\n"
    )
    assert "1441 is not in the range 1<=x<=1440" in failed(
        2, "token", "a", "--minutes=1441", env=KEYS
    )
    assert "client_id is empty" in failed(2, "token", "", env=KEYS)
    assert "client_id has a lone surrogate" in failed(2, "token", "\udcff", env=KEYS)
    assert "secret 1 is 4 bytes long" in failed(2, "token", "a", "--secret=hush")


# check-config, serve.


def test_check_config(tmp_path: Path) -> None:
    file = tmp_path / "headrace.toml"
    file.write_text("port = 80\ndrain_s = 5\n")
    text = done(
        "check-config", "--config", str(file), "--drain-s=1", env={"HEADRACE_HOST": "::1", **KEYS}
    )
    rows = {line.split()[0]: re.split(r"  +", line)[1:] for line in text.splitlines()}
    assert list(rows) == list(config.FIELDS)
    assert rows["host"] == ["::1", "HEADRACE_HOST"]
    assert rows["port"] == ["80", f"key in {file}: port"]
    assert rows["drain_s"] == ["1.0", "--drain-s"]
    assert rows["secrets"] == ["(32 bytes)", "HEADRACE_SECRET"]
    assert rows["api_key"] == ["(7 bytes)", "HEADRACE_API_KEY"]
    assert rows["ring_max_bytes"] == ["1048576", "default"]


def test_check_config_says_whether_serve_would_start() -> None:
    assert "will make up the missing keys" in done("check-config")
    result = run("check-config", "--host", "0.0.0.0", env={"HEADRACE_API_KEY": "the-key"})
    assert result.exit_code == 2
    assert "but no secret is set: set HEADRACE_SECRET" in result.stderr
    assert failed(2, "check-config", "--port=x") == (
        "Error: --port is 'x'; it must be a whole number\n"
    )
    assert "no variable HEADRACE_PRT" in failed(2, "check-config", env={"HEADRACE_PRT": "1"})
    result = run("check-config", "--allowed-origin", "example.com")
    assert result.exit_code == 2
    assert "allowed_origins has 'example.com'" in result.stderr
    result = run("check-config", "--tls-cert", "/no.pem", "--tls-key", "/no.key")
    assert result.exit_code == 2
    assert "tls_cert /no.pem and tls_key /no.key cannot be used" in result.stderr


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, bool]]:
    """What `serve` would have served."""
    calls: list[tuple[Settings, bool]] = []

    def run_server(settings: Settings, announce: Any, *, demo: bool, **_: object) -> None:
        calls.append((settings, demo))
        announce("http://127.0.0.1:1")

    monkeypatch.setattr(headrace.server, "run_server", run_server)
    return calls


def test_serve(served: list[tuple[Settings, bool]]) -> None:
    text = done(
        "serve", "--host", "0.0.0.0", "--secret", SECRET, "--secret", SECRET[::-1],
        "--allowed-origins", "https://a.example,https://b.example",
        env={"HEADRACE_API_KEY": "the-key"},
    )  # fmt: skip
    assert text == "Listening on http://127.0.0.1:1\n"
    assert served == [
        (
            Settings(
                host="0.0.0.0",
                secrets=(SECRET, SECRET[::-1]),
                api_key="the-key",
                allowed_origins=("https://a.example", "https://b.example"),
            ),
            False,
        )
    ]


def test_serve_unconfigured(served: list[tuple[Settings, bool]]) -> None:
    text = done("serve", "--demo")
    ((settings, demo),) = served
    assert demo
    assert text == (
        "No secret and no API key is set. Until this server stops:\n"
        f"  HEADRACE_SECRET={settings.secrets[0]}\n"
        f"  HEADRACE_API_KEY={settings.api_key}\n"
        "Listening on http://127.0.0.1:1\n"
        "Open http://127.0.0.1:1/ in two tabs, and chat from one to the other.\n"
    )


def test_serve_unconfigured_stays_on_loopback(served: list[tuple[Settings, bool]]) -> None:
    assert "no secret and no API key is set" in failed(2, "serve", "--host", "192.0.2.1")
    assert served == []


# send.


class Application:
    """A stand-in for the server's routes; keeps what it was asked."""

    def __init__(self, status: int = 200, body: bytes = b'{"id":"1-0","sessions":2}') -> None:
        self.status = status
        self.body = body
        self.requests: list[tuple[str, str | None, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        key = request.headers.get("Authorization")
        self.requests.append((request.path, key, await request.json()))
        return web.Response(status=self.status, body=self.body)

    async def send(self, *arguments: str, stdin: bytes | None = None) -> Result:
        """Run `headrace send` against it."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self.answer)
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
    application = Application()
    result = await application.send(*arguments, stdin=stdin)
    assert application.requests == [("/base/v1/send", "Bearer the-key", body)]
    assert (result.exit_code, result.output) == (0, "id=1-0 sessions=2\n")


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (400, {"title": "Bad request", "detail": "data is missing"}, "refused: data is missing"),
        (401, {"detail": "wrong key"}, "refused: wrong key; is the API key the server's?"),
        (503, {"title": "Unavailable"}, "refused: Unavailable"),
        (404, "not JSON", "refused: the server answered 404"),
        (302, None, "refused: the server answered 302"),
        (200, "not JSON", "cannot reach"),
    ],
)
async def test_send_refused(status: int, body: object, fault: str) -> None:
    result = await Application(status, json.dumps(body).encode()).send("alice", "Hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert fault in result.stderr


def test_send_usage() -> None:
    assert "got 1 (quote a message that has spaces)" in failed(2, "send", "alice", env=KEYS)
    assert "there are two arguments" in failed(2, "send", "alice", "Hello", "there", env=KEYS)
    assert "one argument, MESSAGE; got 2" in failed(2, "send", "--everyone", "a", "b", env=KEYS)
    assert "exclude each other" in failed(2, "send", "--everyone", "--group=a", "b", env=KEYS)
    assert "not UTF-8, at byte 1" in failed(2, "send", "alice", "-", stdin=b"a\xff", env=KEYS)
    assert "an argument is not UTF-8" in failed(2, "send", "alice", "\udcff", env=KEYS)
    assert "no API key is set" in failed(2, "send", "alice", "Hello")
    assert "that no header can carry" in failed(
        2, "send", "a", "b", env={"HEADRACE_API_KEY": "ключ"}
    )


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8080", "ftp://a", "http://", "http://a:port", "http://a:0", "http://a/?b",
     "http://[::1", "http://a b", "http://é"],
)  # fmt: skip
def test_send_to_no_url(url: str) -> None:
    assert "it must be like http://127.0.0.1:8080" in failed(
        2, "send", "a", "b", "--url", url, env=KEYS
    )
    if url:
        assert "HEADRACE_URL is" in failed(2, "send", "a", "b", env={"HEADRACE_URL": url, **KEYS})


def test_send_to_nobody(unused_tcp_port: int) -> None:
    port = str(unused_tcp_port)
    assert failed(1, "send", "a", "b", env={"HEADRACE_PORT": port, **KEYS}).startswith(
        f"Error: cannot reach http://127.0.0.1:{port}: "
    )


# listen; what the connection does is tested in test_listen.py.


def test_listen_usage() -> None:
    assert "give either CLIENT_ID or --token" in failed(2, "listen", env=KEYS)
    assert "give either CLIENT_ID or --token" in failed(2, "listen", "a", "--token=b", env=KEYS)
    assert "--token is no token" in failed(2, "listen", "--token=a b")
    assert "--group needs CLIENT_ID" in failed(2, "listen", "--token=a", "--group=b")
    assert "no API key is set" in failed(2, "listen", "alice")
    assert "client_id is empty" in failed(2, "listen", "", env=KEYS)


def test_listen_to_nobody(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    assert f"cannot reach {url}: " in failed(
        1, "listen", "alice", env={"HEADRACE_URL": url, **KEYS}
    )
    assert f"cannot reach {url}: " in failed(
        1, "listen", "alice", env={"HEADRACE_URL": url, "HEADRACE_API_KEY": "the-key"}
    )


class Listening:
    """A stand-in for the routes that `listen` asks: it sends two messages and closes."""

    def __init__(self, close_code: int = 1000) -> None:
        self.close_code = close_code
        self.bodies: list[Any] = []
        self.tokens: list[str] = []

    async def channels(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        return web.json_response({"token": "made.by.server", "client_id": "alice", "expires_at": 7})

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(protocols=["headrace.v1"])
        await websocket.prepare(request)
        self.tokens.append(request.headers["Sec-WebSocket-Protocol"].rpartition("token.")[2])
        await websocket.send_str('{"type":"open","id":"1-0","recovered":null,"ping_interval":25}')
        await websocket.send_str('{"id":"2-0","data":"Hellö"}')
        await websocket.send_str('{"id":"3-0","data":"a\\nb","group":"lobby"}')
        await websocket.close(code=self.close_code)
        return websocket

    async def listen(self, *arguments: str, env: Mapping[str, str] = NONE) -> Result:
        """Run `headrace listen` against it."""
        app = web.Application()
        app.router.add_post("/v1/channels", self.channels)
        app.router.add_get("/v1/connect", self.connect)
        async with TestServer(app) as server:
            env = {"HEADRACE_URL": str(server.make_url("")), **env}
            return await asyncio.to_thread(run, "listen", *arguments, env=env)


async def test_listen_with_the_secret() -> None:
    server = Listening()
    result = await server.listen("alice", "--group=lobby", env=KEYS)
    assert (result.exit_code, result.stdout) == (0, "Hellö\na\nb\n")
    assert result.stderr == "closed: normal\n"
    claims = jwt.decode(server.tokens[0], SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["groups"]) == ("alice", ["lobby"])


async def test_listen_with_the_api_key() -> None:
    server = Listening()
    result = await server.listen(
        "alice", "--group=lobby", "--json", env={"HEADRACE_API_KEY": "the-key"}
    )
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"id": "2-0", "data": "Hellö"},
        {"id": "3-0", "data": "a\nb", "group": "lobby"},
    ]
    assert server.bodies == [{"client_id": "alice", "groups": ["lobby"]}]
    assert server.tokens == ["made.by.server"]


async def test_listen_with_a_token() -> None:
    server = Listening(close_code=4003)
    result = await server.listen("--token=given.by.hand")
    assert (result.exit_code, result.stdout) == (1, "Hellö\na\nb\n")
    assert "refused the token: token revoked" in result.stderr
    assert server.tokens == ["given.by.hand"]
