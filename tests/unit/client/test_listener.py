"""headrace.client.listener, against a server that is made with aiohttp."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from tests.unit.client.websocket_server import (
    Script,
    WebSocketServer,
    message,
    opened,
    sends,
    token,
)

from headrace.client import (
    ExpiredTokenError,
    InvalidTokenError,
    Listener,
    Message,
    RequestError,
    RevokedTokenError,
    TokenError,
)


@pytest.fixture
async def server() -> AsyncIterator[WebSocketServer]:
    server = WebSocketServer()
    async with server.server:
        yield server


async def test_messages_are_returned_in_order(server: WebSocketServer) -> None:
    long = "é" * 2_000_000
    ids = await server.run(
        sends(opened(), message("2-0"), message("2-1", long), {**message("3-0"), "group": "lobby"})
    )
    assert ids == ["2-0", "2-1", "3-0"]
    assert server.messages[1].data == long
    assert server.messages[2] == Message(id="3-0", data="data 3-0", group="lobby")
    assert (server.last_ids, server.tokens) == ([None], ["first"])
    assert server.texts == ["closed: normal"]


# --- resuming -------------------------------------------------------------------------------------


async def test_it_resumes_and_drops_duplicates(server: WebSocketServer) -> None:
    ids = await server.run(
        sends(opened(), message("2-0"), message("10-0"), close=1012),
        sends(opened("10-0", recovered=True), message("10-0"), message("9-9"), message("11-0")),
    )
    assert ids == ["2-0", "10-0", "11-0"]
    assert server.last_ids == [None, "10-0"]
    assert server.texts == [
        "connection lost (restart: reconnect); reconnecting in 0.0 s",
        "closed: normal",
    ]


async def test_without_a_message_it_resumes_after_the_open_frame(server: WebSocketServer) -> None:
    ids = await server.run(sends(opened("7-3"), close=1001), sends(message("7-4")))
    assert ids == ["7-4"]
    assert server.last_ids == [None, "7-3"]


@pytest.mark.parametrize(
    ("given_token", "since"),
    [
        (token(pos="7-1"), "7-1"),
        (token(), None),
        (token(pos="seven"), None),
        ("first.a.b", None),
        ("first", None),
    ],
)
async def test_after_a_loss_before_the_open_frame_it_starts_at_the_tokens_position(
    server: WebSocketServer, given_token: str, since: str | None
) -> None:
    server.new_tokens = iter([given_token])
    await server.run(server.aborts(), sends(opened("9-0"), close=1012), sends(opened("9-0")))
    assert server.last_ids == [None, None, "9-0"]
    assert server.since == [None, since, None]


@pytest.mark.parametrize(
    "refusal", [web.Response(status=503), sends(close=4002), sends(close=1012)]
)
async def test_after_a_refusal_the_server_knows_where_to_start(
    server: WebSocketServer, refusal: Script | web.Response
) -> None:
    server.new_tokens = iter([token(pos="5-0"), token(pos="6-0")])
    await server.run(refusal, sends(opened("4-0")))
    assert server.last_ids == [None, None]
    assert server.since == [None, None]


async def test_a_cancelled_connection_attempt_may_have_started_a_session() -> None:
    heads: asyncio.Queue[bytes] = asyncio.Queue()
    closed: asyncio.Queue[None] = asyncio.Queue()

    async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heads.put(await reader.readuntil(b"\r\n\r\n"))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        await closed.put(None)

    async def fetch_token() -> str:
        return token(pos="5-0")

    server = await asyncio.start_server(read_request, "127.0.0.1", 0)
    async with server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        listener = Listener(f"http://127.0.0.1:{port}", fetch_token)
        for target in (b"/v1/connect ", b"/v1/connect?since=5-0 "):
            waiting = asyncio.ensure_future(anext(listener))
            assert target in await heads.get()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await closed.get()


async def test_lower_ids_after_a_server_lost_its_history(server: WebSocketServer) -> None:
    ids = await server.run(
        sends(opened("100-0"), message("101-0"), close=1012),
        sends(opened("5-0", recovered=False), message("6-0")),
    )
    assert ids == ["101-0", "6-0"]
    assert "some messages may be lost" in server.texts


# --- lost connections -----------------------------------------------------------------------------


async def test_an_aborted_connection(server: WebSocketServer) -> None:
    await server.run(server.aborts(opened("5-0")), sends(opened("5-0", recovered=True)))
    assert "connection lost" in server.texts[0]
    assert server.last_ids == [None, "5-0"]


async def test_a_silent_connection(server: WebSocketServer) -> None:
    async def send_nothing(websocket: web.WebSocketResponse) -> None:
        await websocket.send_str(json.dumps(opened(ping_interval=0.02)))
        await websocket.receive()

    await server.run(send_nothing, sends(opened()))
    assert server.texts[0] == (
        "connection lost (no frame was received for 0.05 s); reconnecting in 0.0 s"
    )


async def test_a_server_that_reads_nothing_does_not_delay_the_reconnect(
    server: WebSocketServer,
) -> None:
    finished = asyncio.Event()

    async def read_nothing(websocket: web.WebSocketResponse) -> None:
        await websocket.send_str(json.dumps(opened(ping_interval=0.02)))
        await finished.wait()

    async def finish(websocket: web.WebSocketResponse) -> None:
        finished.set()
        await sends(opened())(websocket)

    async with asyncio.timeout(3):  # less than CLOSE_TIMEOUT_S
        await server.run(read_nothing, finish)


async def test_pings_keep_a_connection_open(server: WebSocketServer) -> None:
    async def send_pings(websocket: web.WebSocketResponse) -> None:
        await websocket.send_str(json.dumps(opened(ping_interval=0.4)))
        for _ in range(12):
            # More often than the ping interval, in total longer than the timeout.
            await asyncio.sleep(0.1)
            await websocket.send_str('{"type":"ping"}')
        await websocket.close()

    await server.run(send_pings)
    assert server.texts == ["closed: normal"]


@pytest.mark.parametrize("frame", ["not JSON", "[]", '{"id":7}', '{"id":"x","data":""}'])
async def test_a_malformed_frame(server: WebSocketServer, frame: str) -> None:
    await server.run(sends(opened(), frame, message("9-0")), sends(opened()))
    assert "the server sent a malformed frame" in server.texts[0]
    assert server.messages == []


async def test_the_server_sets_the_wait(server: WebSocketServer) -> None:
    await server.run(
        sends(opened(), {"type": "reconnect", "delay_ms": 20}, close=1012),
        web.Response(status=503, headers={"Retry-After": "0"}, text="full"),
        sends(opened(), {"type": "gap", "after": "1-0", "before": "3-0"}),
    )
    assert server.texts == [
        "connection lost (restart: reconnect); reconnecting in 0.0 s",
        "connection lost (the server responded with status 503); reconnecting in 0.0 s",
        "too slow: some messages were dropped",
        "closed: normal",
    ]


async def test_the_wait_grows_up_to_a_maximum(server: WebSocketServer) -> None:
    waits: list[float] = []

    async def record(wait_s: float) -> None:
        waits.append(wait_s)

    server.scripts += [web.Response(status=503) for _ in range(8)]
    server.scripts += [sends(opened(), close=4029), web.Response(status=502), sends(opened())]
    async with server.listener(jitter=lambda: 0.5, sleep=record) as messages:
        assert [message async for message in messages] == []
    assert waits == [0.5, 1, 2, 4, 8, 15, 15, 15, 0.5, 1]


# --- tokens ---------------------------------------------------------------------------------------


async def test_an_expired_token_is_replaced(server: WebSocketServer) -> None:
    ids = await server.run(
        sends(opened(), message("2-0"), close=4002), sends(opened("2-0"), message("3-0"))
    )
    assert ids == ["2-0", "3-0"]
    assert server.last_ids == [None, "2-0"]
    assert server.tokens == ["first", "second"]


async def test_an_expired_token_without_a_new_one(server: WebSocketServer) -> None:
    server.new_tokens = iter(["same", "same"])
    with pytest.raises(ExpiredTokenError, match="expired; listen with a new one"):
        await server.run(sends(close=4002))


async def test_fetching_a_token_is_retried(server: WebSocketServer) -> None:
    results = iter(["first", None, "second"])

    async def fetch_token() -> str:
        result = next(results)
        if result is None:
            raise ConnectionError("no connection")
        return result

    server.fetch_token = fetch_token  # type: ignore[method-assign]  # replaced for this test
    await server.run(sends(opened(), close=4002), sends(close=4002), sends(opened()))
    assert server.tokens == ["first", "first", "second"]


@pytest.mark.parametrize(("code", "error"), [(4001, InvalidTokenError), (4003, RevokedTokenError)])
async def test_a_refused_token(server: WebSocketServer, code: int, error: type[TokenError]) -> None:
    with pytest.raises(error):
        await server.run(sends(close=code))


@pytest.mark.parametrize("bad_token", ["", "two words", "a,b", "a\r\nb", "é"])
async def test_a_token_that_a_header_cannot_hold(server: WebSocketServer, bad_token: str) -> None:
    server.new_tokens = iter([bad_token])
    with pytest.raises(InvalidTokenError, match="outside base64url"):
        await server.run()


# --- the end --------------------------------------------------------------------------------------


async def test_replaced_by_a_newer_session(server: WebSocketServer) -> None:
    await server.run(sends(opened(), close=4009))
    assert server.texts == ["closed: replaced by a newer session: do not reconnect"]


async def test_a_refused_connection(server: WebSocketServer) -> None:
    body = '{"title":"Forbidden","detail":"the origin is not allowed"}'
    with pytest.raises(RequestError, match="the origin is not allowed") as caught:
        await server.run(web.Response(status=403, text=body))
    assert caught.value.status == 403


async def test_close_ends_an_iteration_in_another_task(server: WebSocketServer) -> None:
    started = asyncio.Event()

    async def wait_for_the_client(websocket: web.WebSocketResponse) -> None:
        await websocket.send_str(json.dumps(opened()))
        started.set()
        await websocket.receive()

    server.scripts.append(wait_for_the_client)
    listener = server.listener()
    async with asyncio.timeout(20):
        waiting = asyncio.ensure_future(anext(listener, None))
        await started.wait()
        await listener.close()
        assert await waiting is None
    assert server.events == []
