"""headrace.appengine: the contract's table value by value, and where it sends."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from headrace import appengine
from headrace.appengine import HttpBackend, HubBackend, channel, choice, hub
from headrace.appengine.form import client_id_in
from headrace.client import Client
from headrace.errors import ConfigError, RequestError
from headrace.server import running
from headrace.tokens import TokenSigner

SECRET = "a secret of the tests, 32 bytes+"
NOW = 1_732_412_345.0
VARIABLES = ("HEADRACE_URL", "HEADRACE_API_KEY", "HEADRACE_SECRET")
BAD_ID = channel.InvalidChannelClientIdError
BAD_DURATION = channel.InvalidChannelTokenDurationError
BAD_MESSAGE = channel.InvalidMessageError


def mint(client_id: str, secret: str = SECRET, **claims: Any) -> str:
    return jwt.encode({"sub": client_id, "exp": NOW, **claims}, secret)


class MemoryBackend:
    """A server that only remembers; it recognises what was signed with `SECRET`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.created: list[tuple[str, int]] = []
        self.sent: list[tuple[str, str]] = []
        self._signer = TokenSigner([SECRET.encode()])

    def create_channel(self, client_id: str, minutes: int) -> str:
        self._fail()
        self.created.append((client_id, minutes))
        return f"token of {client_id}"

    def send(self, client_id: str, message: str) -> None:
        self._fail()
        self.sent.append((client_id, message))

    def recognises(self, token: str) -> bool:
        return appengine.backend.is_signed(self._signer, token, NOW)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    appengine.use(None)


@pytest.fixture
def backend() -> MemoryBackend:
    backend = MemoryBackend()
    appengine.use(backend)
    return backend


# The module's face.


def test_the_names() -> None:
    assert channel.MAXIMUM_CLIENT_ID_LENGTH == 256
    assert channel.MAXIMUM_TOKEN_DURATION_MINUTES == 1440
    assert channel.MAXIMUM_MESSAGE_LENGTH == 32767
    assert channel.Error.__bases__ == (Exception,)
    for error in (BAD_ID, BAD_DURATION, BAD_MESSAGE, channel.AppIdAliasRequired):
        assert error.__bases__ == (channel.Error,)


# Client IDs.

GOOD_IDS = [
    "a", "0", " ", "\x00", "a/b", "-a--b=c&d+e f", "é" * 128, "x" * 256, "😀" * 64, "a.b.c", "..",
    "a" * 85 + "." + "b" * 85 + "." + "c" * 84,
]  # fmt: skip
NO_STRINGS = [None, 1, 1.5, True, b"alice", ["alice"], ("alice",), object()]
TOO_LONG = ["x" * 257, "é" * 128 + "x", "😀" * 64 + "x", "x" * 100_000]


@pytest.mark.parametrize("client_id", GOOD_IDS)
def test_a_client_id(backend: MemoryBackend, client_id: str) -> None:
    assert channel.create_channel(client_id) == f"token of {client_id}"
    channel.send_message(client_id, "Hello")
    assert backend.created == [(client_id, 120)]
    assert backend.sent == [(client_id, "Hello")]


@pytest.mark.parametrize("client_id", [*NO_STRINGS, "", *TOO_LONG, "\ud800", "a\udfff"])
def test_what_is_no_client_id(backend: MemoryBackend, client_id: Any) -> None:
    with pytest.raises(BAD_ID):
        channel.create_channel(client_id)
    with pytest.raises(BAD_ID):
        channel.send_message(client_id, "Hello")
    assert (backend.created, backend.sent) == ([], [])


def test_the_texts_about_client_ids(backend: MemoryBackend) -> None:
    with pytest.raises(BAD_ID, match=r'^"5" is not a string\.$'):
        channel.create_channel(5)  # type: ignore[arg-type]  # that is the test
    with pytest.raises(BAD_ID, match=r"^Client id length 258 is greater than max length 256$"):
        channel.create_channel("é" * 129)
    with pytest.raises(BAD_ID, match="empty"):
        channel.create_channel("")


class Safe(str):
    """What template engines make of text."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def test_subclasses_of_str(backend: MemoryBackend) -> None:
    channel.create_channel(Safe("alice"))
    channel.send_message(Safe("alice"), Safe("Hello"))
    (sent,) = backend.sent
    assert (*backend.created, sent) == (("alice", 120), ("alice", "Hello"))
    assert {type(text) for text in sent} == {str}


# Durations.


@pytest.mark.parametrize(
    ("duration", "minutes"),
    [(None, 120), (1, 1), (2, 2), (120, 120), (1439, 1439), (1440, 1440), (True, 1), (1.0, 1),
     (60.0, 60), (1440.0, 1440)],
)  # fmt: skip
def test_a_duration(backend: MemoryBackend, duration: float | None, minutes: int) -> None:
    channel.create_channel("alice", duration)
    channel.create_channel("alice", duration_minutes=duration)
    assert backend.created == [("alice", minutes)] * 2
    assert {type(minutes) for _, minutes in backend.created} == {int}


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "Argument duration_minutes must not be less than 1"),
        (-1, "Argument duration_minutes must not be less than 1"),
        (False, "Argument duration_minutes must not be less than 1"),
        (0.0, "Argument duration_minutes must not be less than 1"),
        (-0.0, "Argument duration_minutes must not be less than 1"),
        (-1e300, "Argument duration_minutes must not be less than 1"),
        (1441, "Argument duration_minutes must be less than 1441"),
        (1441.0, "Argument duration_minutes must be less than 1441"),
        (10**400, "Argument duration_minutes must be less than 1441"),
        (1e300, "Argument duration_minutes must be less than 1441"),
        (1.5, "Argument duration_minutes must be integral"),
        (0.5, "Argument duration_minutes must be integral"),
        (1440.5, "Argument duration_minutes must be integral"),
        (float("nan"), "Argument duration_minutes must be integral"),
        (float("inf"), "Argument duration_minutes must be integral"),
        (float("-inf"), "Argument duration_minutes must be integral"),
        ("60", "Argument duration_minutes must be integral"),
        ("", "Argument duration_minutes must be integral"),
        (b"60", "Argument duration_minutes must be integral"),
        (60 + 0j, "Argument duration_minutes must be integral"),
        (Decimal(60), "Argument duration_minutes must be integral"),
        (Fraction(60), "Argument duration_minutes must be integral"),
        ([], "Argument duration_minutes must be integral"),
    ],
)
def test_what_is_no_duration(backend: MemoryBackend, duration: Any, text: str) -> None:
    with pytest.raises(BAD_DURATION, match=f"^{text}$"):
        channel.create_channel("alice", duration)
    assert backend.created == []


def test_the_client_id_is_looked_at_first(backend: MemoryBackend) -> None:
    with pytest.raises(BAD_ID):
        channel.create_channel("", 0)
    with pytest.raises(BAD_ID):
        channel.send_message("", "")


# Messages.


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("Hello", "Hello"),
        (" ", " "),
        ("\x00", "\x00"),
        ("Grüße", "Grüße"),
        (b"Hello", "Hello"),
        ("Grüße".encode(), "Grüße"),
        ("x" * 32767, "x" * 32767),
        (b"x" * 32767, "x" * 32767),
        ("é" * 16383 + "x", "é" * 16383 + "x"),
        (("é" * 16383 + "x").encode(), "é" * 16383 + "x"),
    ],
    ids=len,
)
def test_a_message(backend: MemoryBackend, message: str | bytes, text: str) -> None:
    channel.send_message("alice", message)
    assert backend.sent == [("alice", text)]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (None, "Message must be a string"),
        (5, "Message must be a string"),
        (True, "Message must be a string"),
        ({"a": 1}, "Message must be a string"),
        (bytearray(b"Hello"), "Message must be a string"),
        ("", "Message must not be empty"),
        (b"", "Message must not be empty"),
        ("x" * 32768, "Message must be no longer than 32767 chars"),
        (b"x" * 32768, "Message must be no longer than 32767 chars"),
        ("é" * 16384, "Message must be no longer than 32767 chars"),
        (b"\xff", "Message must be UTF-8"),
        ("é".encode()[:1], "Message must be UTF-8"),
        (b"\xed\xa0\x80", "Message must be UTF-8"),
        ("\ud800", "Message has half of a surrogate pair"),
    ],
    ids=str,
)
def test_what_is_no_message(backend: MemoryBackend, message: Any, text: str) -> None:
    with pytest.raises(BAD_MESSAGE, match=f"^{text}$"):
        channel.send_message("alice", message)
    assert backend.sent == []


# Tokens in the place of client IDs.

LONG_TOKEN = mint("alice", groups=["g" * 250] * 4)


@pytest.mark.parametrize(
    "token",
    [
        mint("alice"),
        LONG_TOKEN,
        mint("alice", iat=NOW - 7200),
        mint("alice", exp=NOW - 7200, iss="the application"),
        mint("alice", exp=NOW + 7200),
        TokenSigner([SECRET.encode()]).mint("alice", now=NOW, pos="1-0").token,
        Safe(mint("alice")),
    ],
)
def test_sending_to_a_token(backend: MemoryBackend, token: str) -> None:
    channel.send_message(token, "Hello")
    assert backend.sent == [("alice", "Hello")]


def test_a_client_id_that_looks_like_a_token(backend: MemoryBackend) -> None:
    """A JWT of the application's own, which may be its users' client ID."""
    own = mint("alice", "some other secret, of the application")
    assert len(own) <= 256
    channel.create_channel(own)
    channel.send_message(own, "Hello")
    assert backend.created == [(own, 120)]
    assert backend.sent == [(own, "Hello")]


def test_a_token_is_no_client_id(backend: MemoryBackend) -> None:
    with pytest.raises(BAD_ID, match="is a token"):
        channel.create_channel(mint("alice"))


def test_a_long_token_of_somebody_else(backend: MemoryBackend) -> None:
    token = mint("alice", "some other secret, of the application", groups=["g" * 250])
    with pytest.raises(BAD_ID, match="is greater than max length 256"):
        channel.send_message(token, "Hello")


def test_what_has_a_tokens_form() -> None:
    assert client_id_in(mint("é/=")) == "é/="
    assert client_id_in(mint("alice", padding="x" * 4000)) == "alice"


@pytest.mark.parametrize(
    "text",
    [
        "alice",
        "a.b.c",
        "..",
        mint("alice")[:-1],
        mint("alice") + "x",
        mint("alice") + "=",
        mint("alice") + "\n",
        mint("alice").replace(".", "-"),
        mint("alice", padding="x" * 6000),
        mint(""),
        "e30." + mint("alice").partition(".")[2],
        "W10." + mint("alice").partition(".")[2],
        "_w." + mint("alice").partition(".")[2],
        "a." + mint("alice").partition(".")[2],
        jwt.encode({"sub": "alice"}, SECRET),
        jwt.encode({"exp": NOW}, SECRET),
        jwt.encode({"sub": "alice", "exp": NOW}, SECRET * 2, algorithm="HS512"),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwiZXhwIjoxfQ." + "A" * 43,
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "W1tb" * 1000 + "." + "A" * 43,
    ],
)
def test_what_has_not(text: str) -> None:
    assert client_id_in(text) is None


# What the server says.


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RequestError(400, "the client ID is 200 bytes of UTF-8; it must be 1 to 100"), BAD_ID),
        (RequestError(413, "the data is 2000 bytes of UTF-8"), BAD_MESSAGE),
        (RequestError(401, "this route is the application's"), channel.Error),
        (RequestError(503, "the server is shutting down"), channel.Error),
    ],
)
def test_a_refusal(error: RequestError, kind: type[channel.Error]) -> None:
    appengine.use(MemoryBackend(error))
    with pytest.raises(channel.Error) as caught:
        channel.send_message("alice", "Hello")
    assert type(caught.value) is kind
    assert (str(caught.value), caught.value.__cause__) == (error.detail, error)
    with pytest.raises(channel.Error):
        channel.create_channel("alice")


# Where it sends.


@pytest.mark.parametrize(
    ("set_", "missing"), [([], "HEADRACE_API_KEY"), (["HEADRACE_API_KEY"], "HEADRACE_URL")]
)
def test_no_server(monkeypatch: pytest.MonkeyPatch, set_: list[str], missing: str) -> None:
    for name in set_:
        monkeypatch.setenv(name, "something")
    with pytest.raises(ConfigError, match=f"^{missing} is not set"):
        channel.create_channel("alice")
    with pytest.raises(BAD_ID):  # which needs no server
        channel.create_channel("")


class Application:
    """A stand-in for the server; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, Any]] = []
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        self.server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.Response:
        key = request.headers.get("authorization")
        self.asked.append((request.path, key, await request.json()))
        return web.json_response(
            {"token": mint("alice"), "client_id": "alice", "expires_at": NOW}
            | {"id": "1-0", "sessions": 0}
        )

    @property
    def url(self) -> str:
        return str(self.server.make_url(""))


@pytest.fixture
async def application(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Application]:
    application = Application()
    async with application.server:
        monkeypatch.setenv("HEADRACE_URL", application.url)
        monkeypatch.setenv("HEADRACE_API_KEY", "the-key")
        yield application
        choice._by_http.close()


async def test_the_environment(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await asyncio.to_thread(channel.create_channel, "alice", 60)
    await asyncio.to_thread(channel.send_message, token, "Hello")
    (path, key, body), (path_2, key_2, body_2) = application.asked
    assert (path, key) == ("/v1/channels", "Bearer the-key")
    assert body == {"client_id": "alice", "duration_minutes": 60}
    assert (path_2, key_2) == ("/v1/send", "Bearer the-key")
    assert len(body_2.pop("idempotency_key")) == 36
    assert body_2 == {"to": "alice", "data": "Hello"}

    first = choice.current()
    assert choice.current() is first  # its connections are kept
    monkeypatch.setenv("HEADRACE_API_KEY", "another-key")
    await asyncio.to_thread(channel.send_message, "alice", "Hello")
    assert application.asked[2][1] == "Bearer another-key"


async def test_the_secret_in_the_environment(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = mint("alice", "some other secret, of the application")
    with pytest.raises(BAD_ID, match="cannot be told from one"):
        channel.create_channel(own)
    monkeypatch.setenv("HEADRACE_SECRET", SECRET)
    await asyncio.to_thread(channel.create_channel, own)
    await asyncio.to_thread(channel.send_message, own, "Hello")
    await asyncio.to_thread(channel.send_message, mint("alice"), "Hello")
    assert [body.get("to") for _, _, body in application.asked] == [None, own, "alice"]
    monkeypatch.setenv("HEADRACE_SECRET", "short")
    with pytest.raises(ConfigError, match="at least 32"):
        channel.create_channel("alice")


def test_nobody_there(unused_tcp_port: int) -> None:
    client = Client(f"http://127.0.0.1:{unused_tcp_port}", "the-key", retry_s=0)
    appengine.use(HttpBackend(client))
    with pytest.raises(channel.Error, match="cannot be reached") as caught:
        channel.send_message("alice", "Hello")
    assert type(caught.value) is channel.Error
    client.close()


def test_a_forked_process_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HEADRACE_API_KEY", "the-key")
    before = choice.current()
    choice._begin_anew()
    assert choice.current() is not before
    assert isinstance(before, HttpBackend)
    before.close()
    choice._by_http.close()


# The hub in this process, as far as a server is not needed; see tests/server/test_appengine.py.


def test_the_server_in_this_process() -> None:
    assert running.only() is None
    servers: list[Any] = [SimpleNamespace(loop=None, node=number) for number in range(2)]
    for server in servers:
        running.add(server)
    try:
        with pytest.raises(ConfigError, match="2 servers run in this process"):
            choice.current()
        running.discard(servers[0])
        assert isinstance(choice.current(), HubBackend)
        running.discard(servers[0])
    finally:
        running.discard(servers[1])
    assert running.only() is None


def test_a_loop_that_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HUB_TIMEOUT_S", 0.05)
    loop = asyncio.new_event_loop()  # it never runs
    host: Any = SimpleNamespace(loop=loop, node=None)
    appengine.bind(host)
    with pytest.raises(channel.Error, match="has not come to it"):
        channel.create_channel("alice")
    loop.run_until_complete(asyncio.sleep(0))  # lets go of what it was given
    loop.close()
    with pytest.raises(channel.Error, match="has ended"):
        channel.create_channel("alice")


def test_a_loop_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    async def serve() -> None:
        loop = asyncio.get_running_loop()

        async def never(_entry: object) -> None:
            begun.set()
            loop.call_soon(ended.set)
            await asyncio.Event().wait()

        ended = asyncio.Event()
        hub_: Any = SimpleNamespace(check=lambda entry: None, publish=never)
        host: Any = SimpleNamespace(loop=loop, node=SimpleNamespace(hub=hub_))
        appengine.bind(host)
        thread.start()
        await ended.wait()

    caught: list[channel.Error] = []

    def send() -> None:
        try:
            channel.send_message("alice", "Hello")
        except channel.Error as error:
            caught.append(error)

    thread = threading.Thread(target=send)
    asyncio.run(serve())
    thread.join()
    assert begun.is_set()
    assert "has ended" in str(caught[0])
