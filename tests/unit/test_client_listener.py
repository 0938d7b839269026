"""headrace.client.listener and websocket: aiohttp's WebSocket plays the server."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import jwt
import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from headrace.client import Incident, Listener, Message, websocket
from headrace.client.websocket import open_websocket
from headrace.errors import (
    ExpiredTokenError,
    InvalidTokenError,
    RequestError,
    RevokedTokenError,
    TokenError,
)
from headrace.position import Position

Script = Callable[[web.WebSocketResponse], Awaitable[None]]


def sends(*frames: dict[str, Any] | str, close: int = 1000) -> Script:
    """One connection's part of the play: `open`, these frames, then a close."""

    async def play(websocket: web.WebSocketResponse) -> None:
        for frame in frames:
            await websocket.send_str(frame if isinstance(frame, str) else json.dumps(frame))
        await websocket.close(code=close)

    return play


def cut(stage: "Stage", *frames: dict[str, Any]) -> Script:
    """One connection's part of the play: these frames, then the line is cut."""

    async def play(websocket: web.WebSocketResponse) -> None:
        for frame in frames:
            await websocket.send_str(json.dumps(frame))
        assert stage.transport is not None
        stage.transport.abort()

    return play


def opened(at: str = "1-0", recovered: bool | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "open", "id": at, "recovered": recovered, "ping_interval": 25, **more}


def message(id_: str, data: str = "") -> dict[str, Any]:
    return {"id": id_, "data": data or f"data {id_}"}


class Stage:
    """Plays a script a connection, and listens to the play."""

    def __init__(self) -> None:
        self.scripts: list[Script | web.Response] = []
        self.connects: list[tuple[str | None, str]] = []  # last_id, token
        self.since: list[str | None] = []
        self.messages: list[Message] = []
        self.incidents: list[Incident] = []
        self.transport: asyncio.Transport | None = None
        self.tokens = iter(["first", "second", "third"])
        app = web.Application()
        app.router.add_get("/base/v1/connect", self._connect)
        self.server = TestServer(app)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Host"] == f"127.0.0.1:{self.server.port}"
        protocol, token = request.headers["Sec-WebSocket-Protocol"].split(", ")
        assert protocol == "headrace.v1"
        self.connects.append((request.query.get("last_id"), token))
        self.since.append(request.query.get("since"))
        script = self.scripts.pop(0)
        if isinstance(script, web.Response):
            return script
        self.transport = request.transport
        # Without autoping, a script sees the pongs that the client sends.
        websocket = web.WebSocketResponse(protocols=["headrace.v1"], autoping=False)
        await websocket.prepare(request)
        await script(websocket)
        return websocket

    async def fetch_token(self) -> str:
        return next(self.tokens)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/base"))

    async def play(self, *scripts: Script | web.Response) -> list[str]:
        """Listen until the play is over; returns the ids that came."""
        self.scripts += scripts
        async with asyncio.timeout(20), self.listener() as messages:
            async for message in messages:
                self.messages.append(message)
        assert not self.scripts
        return [message.id for message in self.messages]

    def listener(self, **options: Any) -> Listener:
        """A listener that comes back at once."""
        defaults = {"on_incident": self.incidents.append, "jitter": lambda: 0.0}
        return Listener(self.url, self.fetch_token, **{**defaults, **options})

    @property
    def notices(self) -> list[str]:
        return [incident.text for incident in self.incidents]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    async with stage.server:
        yield stage


async def test_messages_come_in_order(stage: Stage) -> None:
    long = "é" * 100_000
    ids = await stage.play(
        sends(opened(), message("2-0"), message("2-1", long), {**message("3-0"), "group": "lobby"})
    )
    assert ids == ["2-0", "2-1", "3-0"]
    assert stage.messages[1].data == long
    assert stage.messages[2] == Message(id="3-0", data="data 3-0", group="lobby")
    assert stage.connects == [(None, "headrace.token.first")]
    assert stage.notices == ["closed: normal"]


async def test_it_resumes_and_drops_duplicates(stage: Stage) -> None:
    ids = await stage.play(
        sends(opened(), message("2-0"), message("10-0"), close=1012),
        sends(opened("10-0", recovered=True), message("10-0"), message("9-9"), message("11-0")),
    )
    assert ids == ["2-0", "10-0", "11-0"]
    assert [last_id for last_id, _ in stage.connects] == [None, "10-0"]
    assert stage.notices == [
        "connection lost (restart: reconnect); coming back in 0.0 s",
        "closed: normal",
    ]


async def test_it_resumes_where_it_opened(stage: Stage) -> None:
    ids = await stage.play(sends(opened("7-3"), close=1001), sends(message("7-4")))
    assert ids == ["7-4"]
    assert [last_id for last_id, _ in stage.connects] == [None, "7-3"]


@pytest.mark.parametrize(
    ("token", "since"),
    [
        (jwt.encode({"sub": "alice", "pos": "7-1"}, "x" * 32), "7-1"),
        (jwt.encode({"sub": "alice"}, "x" * 32), None),
        (jwt.encode({"sub": "alice", "pos": "seven"}, "x" * 32), None),
        ("first.a.b", None),
        ("first", None),
    ],
)
async def test_one_that_was_cut_before_it_opened_begins_where_the_first_should(
    stage: Stage, token: str, since: str | None
) -> None:
    stage.tokens = iter([token])
    await stage.play(cut(stage), sends(opened("9-0"), close=1012), sends(opened("9-0")))
    assert [last_id for last_id, _ in stage.connects] == [None, None, "9-0"]
    assert stage.since == [None, since, None]


@pytest.mark.parametrize(
    "refusal", [web.Response(status=503), sends(close=4002), sends(close=1012)]
)
async def test_where_no_session_began_the_server_knows_where_to_begin(
    stage: Stage, refusal: Script | web.Response
) -> None:
    claims = jwt.encode({"pos": "5-0"}, "x" * 32)
    stage.tokens = iter([claims, jwt.encode({"pos": "6-0"}, "x" * 32)])
    await stage.play(refusal, sends(opened("4-0")))
    assert [last_id for last_id, _ in stage.connects] == [None, None]
    assert stage.since == [None, None]


async def test_a_connection_that_was_given_up_may_have_been_served() -> None:
    heads: asyncio.Queue[bytes] = asyncio.Queue()

    ended: asyncio.Queue[None] = asyncio.Queue()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heads.put(await reader.readuntil(b"\r\n\r\n"))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        await ended.put(None)

    async def fetch_token() -> str:
        return jwt.encode({"pos": "5-0"}, "x" * 32)

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        listener = Listener(f"http://127.0.0.1:{port}", fetch_token)
        for target in (b"/v1/connect ", b"/v1/connect?since=5-0 "):
            waiting = asyncio.ensure_future(anext(listener))
            assert target in await heads.get()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await ended.get()


async def test_a_new_order_begins_anew(stage: Stage) -> None:
    """A server that lost its history may give lower ids than before."""
    ids = await stage.play(
        sends(opened("100-0"), message("101-0"), close=1012),
        sends(opened("5-0", recovered=False), message("6-0")),
    )
    assert ids == ["101-0", "6-0"]
    assert "some messages may have been missed" in stage.notices


async def test_a_cut_line_comes_back(stage: Stage) -> None:
    await stage.play(cut(stage, opened("5-0")), sends(opened("5-0", recovered=True)))
    assert "connection lost" in stage.notices[0]
    assert [last_id for last_id, _ in stage.connects] == [None, "5-0"]


async def test_a_dead_line_comes_back(stage: Stage) -> None:
    async def fall_silent(websocket: web.WebSocketResponse) -> None:
        await websocket.send_str(json.dumps(opened(ping_interval=0.02)))
        await websocket.receive()

    await stage.play(fall_silent, sends(opened()))
    assert stage.notices[0] == "connection lost (the line is dead); coming back in 0.0 s"


async def test_pings_keep_the_line_alive(stage: Stage) -> None:
    async def only_ping(websocket: web.WebSocketResponse) -> None:
        await websocket.send_str(json.dumps(opened(ping_interval=0.4)))
        for _ in range(12):
            # The pace: more often than it said, for longer than a dead line is given.
            await asyncio.sleep(0.1)
            await websocket.send_str('{"type":"ping"}')
        await websocket.close()

    await stage.play(only_ping)
    assert stage.notices == ["closed: normal"]


async def test_websocket_pings_are_answered(stage: Stage) -> None:
    pong = asyncio.Event()

    async def ping(websocket: web.WebSocketResponse) -> None:
        await websocket.send_str(json.dumps(opened()))
        await websocket.ping(b"hello")
        received = await websocket.receive()
        assert (received.type, received.data) == (WSMsgType.PONG, b"hello")
        pong.set()
        await websocket.close()

    await stage.play(ping)
    assert pong.is_set()


async def test_the_server_says_when_to_come_back(stage: Stage) -> None:
    await stage.play(
        sends(opened(), {"type": "reconnect", "delay_ms": 20}, close=1012),
        web.Response(status=503, headers={"Retry-After": "0"}, text="full"),
        sends(opened(), {"type": "gap", "after": "1-0", "before": "3-0"}),
    )
    assert stage.notices == [
        "connection lost (restart: reconnect); coming back in 0.0 s",
        "connection lost (the server answered 503); coming back in 0.0 s",
        "too slow: some messages were dropped",
        "closed: normal",
    ]


async def test_the_wait_grows_and_is_capped(stage: Stage) -> None:
    waits: list[float] = []

    async def note(wait_s: float) -> None:
        waits.append(wait_s)

    stage.scripts += [web.Response(status=503) for _ in range(8)]
    stage.scripts += [sends(opened(), close=4029), web.Response(status=502), sends(opened())]
    async with stage.listener(jitter=lambda: 0.5, sleep=note) as messages:
        assert [message async for message in messages] == []
    assert waits == [0.5, 1, 2, 4, 8, 15, 15, 15, 0.5, 1]


async def test_a_timed_out_token_is_replaced(stage: Stage) -> None:
    ids = await stage.play(
        sends(opened(), message("2-0"), close=4002), sends(opened("2-0"), message("3-0"))
    )
    assert ids == ["2-0", "3-0"]
    assert stage.connects == [(None, "headrace.token.first"), ("2-0", "headrace.token.second")]


async def test_a_timed_out_token_without_another(stage: Stage) -> None:
    stage.tokens = iter(["same", "same"])
    with pytest.raises(ExpiredTokenError, match="timed out: get a new one"):
        await stage.play(sends(close=4002))


async def test_a_token_that_cannot_be_fetched_is_fetched_later(stage: Stage) -> None:
    answers = iter(["first", None, "second"])

    async def fetch_token() -> str:
        answer = next(answers)
        if answer is None:
            raise ConnectionError("no one there")
        return answer

    stage.fetch_token = fetch_token  # type: ignore[method-assign]  # a stand-in for this test
    await stage.play(sends(opened(), close=4002), sends(close=4002), sends(opened()))
    assert [token for _, token in stage.connects] == [
        "headrace.token.first",
        "headrace.token.first",
        "headrace.token.second",
    ]


@pytest.mark.parametrize(("code", "error"), [(4001, InvalidTokenError), (4003, RevokedTokenError)])
async def test_a_refused_token(stage: Stage, code: int, error: type[TokenError]) -> None:
    with pytest.raises(error):
        await stage.play(sends(close=code))


@pytest.mark.parametrize("token", ["", "two words", "a,b", "a\r\nb", "é"])
async def test_a_token_that_is_none(stage: Stage, token: str) -> None:
    stage.tokens = iter([token])
    with pytest.raises(InvalidTokenError, match="outside base64url"):
        await stage.play()


async def test_replaced_by_a_newer_session(stage: Stage) -> None:
    await stage.play(sends(opened(), close=4009))
    assert stage.notices == ["closed: replaced by a newer session: do not reconnect"]


async def test_a_refused_connection(stage: Stage) -> None:
    body = '{"title":"Forbidden","detail":"the origin is not allowed"}'
    with pytest.raises(RequestError, match="the origin is not allowed") as caught:
        await stage.play(web.Response(status=403, text=body))
    assert caught.value.status == 403


@pytest.mark.parametrize("frame", ["not JSON", "[]", '{"id":7}', '{"id":"x","data":""}'])
async def test_what_is_no_frame_ends_the_connection(stage: Stage, frame: str) -> None:
    await stage.play(sends(opened(), frame, message("9-0")), sends(opened()))
    assert "the server sent no frame" in stage.notices[0]
    assert stage.messages == []


async def test_a_server_without_the_subprotocol(stage: Stage) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: nonsense\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionError, match="broke the protocol"):
            await open_websocket(f"http://127.0.0.1:{port}", "token", last_id=Position(1, 2))


async def test_nobody_there(unused_tcp_port: int) -> None:
    with pytest.raises(OSError, match="Connect call failed"):
        await open_websocket(f"http://127.0.0.1:{unused_tcp_port}", "token")


async def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        closed.set()

    monkeypatch.setattr(websocket, "CONNECT_TIMEOUT_S", 0.05)
    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError, match="no answer within"):
            await open_websocket(f"http://127.0.0.1:{port}", "token")
        await closed.wait()
