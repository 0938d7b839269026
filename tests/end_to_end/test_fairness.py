"""A burst of input from one connection is handled in turns, so that others are served too."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.client_bytes import CONTINUATION, client_frame
from tests.helpers.site import Site, mint
from tests.helpers.wire import Wire, request, wire

from headrace import limits
from headrace.api.dispatcher import Dispatcher
from headrace.api.router import Match
from headrace.messages import frames
from headrace.protocol.http.body import ChunkedBody
from headrace.protocol.http.events import RequestHead
from headrace.protocol.websocket.frame_guard import FrameGuard
from headrace.server.connections.websocket_protocol import (
    UNREAD_REPLIES_MAX_BYTES,
    WebSocketProtocol,
)

REQUESTS = 4000


class CallCounter:
    """Counts calls, and the most calls within one tick of the event loop."""

    def __init__(self) -> None:
        self.calls = 0
        self.most_per_tick = 0
        self._in_tick = 0

    def watch(self, patch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            if not self._in_tick:
                asyncio.get_running_loop().call_soon(self._end_tick)
            self._in_tick += 1
            self.calls += 1
            self.most_per_tick = max(self.most_per_tick, self._in_tick)
            return original(*args, **kwargs)

        patch.setattr(owner, name, counted)

    def _end_tick(self) -> None:
        self._in_tick = 0


async def write_until_closed(client: Wire, data: bytes, *, repeat: bool = False) -> None:
    with suppress(ConnectionResetError, BrokenPipeError):
        await client.write(data)
        while repeat:
            await client.write(data)


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
async def test_many_refused_requests(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    counter = CallCounter()
    counter.watch(monkeypatch, Dispatcher, "begin")
    path = "/v1/send" if method == "POST" else "/nothing"
    async with wire(site.port) as client:
        writing = asyncio.create_task(client.write(request(method, path) * REQUESTS))
        statuses = {(await client.read_response()).status for _ in range(REQUESTS)}
        await writing
    assert statuses == {401 if method == "POST" else 404}
    assert counter.calls == REQUESTS
    assert counter.most_per_tick < REQUESTS / 4


async def test_body_of_tiny_chunks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = CallCounter()
    counter.watch(monkeypatch, ChunkedBody, "_step")
    chunks = 30_000
    async with wire(site.port) as client:
        head = request("POST", f"/v1/messages?token={mint()}", "Transfer-Encoding: chunked")
        await client.write(head + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")
        assert (await client.read_response()).status == 400
    assert counter.calls > 3 * chunks
    assert counter.most_per_tick < 3 * chunks / 4


@pytest.mark.parametrize("token", [mint(), "invalid"], ids=["valid token", "invalid token"])
async def test_many_tiny_frames(site: Site, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    counter = CallCounter()
    counter.watch(monkeypatch, FrameGuard, "frame_inbound_complete")
    async with wire(site.port) as client:
        await client.upgrade(token)
        fragments = client_frame(CONTINUATION, b" ", fin=False) * 20_000
        await client.write(client_frame(frames.TEXT, b"", fin=False) + fragments)
        await client.write(client_frame(CONTINUATION, b"") + client_frame(frames.PING, b"last"))
        if token != "invalid":
            await client.read_json()
            assert (await client.read_json())["code"] == 400
            assert await client.read_frame() == (frames.PONG, b"last")
        else:
            assert await client.read_close_code() == 4001
            await client.read_until_closed()
    assert counter.calls >= 20_000
    assert counter.most_per_tick < 20_000 / 4


async def test_many_pings(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = CallCounter()
    counter.watch(monkeypatch, WebSocketProtocol, "_reply")
    pings = 20_000
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.read_json()
        writing = asyncio.create_task(client.write(client_frame(frames.PING, b"") * pings))
        for _ in range(pings):
            assert await client.read_frame() == (frames.PONG, b"")
        await writing
    assert counter.calls == pings
    assert counter.most_per_tick < pings / 4


async def test_client_that_renews_without_reading_is_aborted(site: Site) -> None:
    token = mint("\x01" * 250)
    renewal = client_frame(frames.TEXT, b'{"type":"renew","token":"%b"}' % token.encode())
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.upgrade(token)
        writing = asyncio.create_task(write_until_closed(client, renewal * 10, repeat=True))
        await site.wait_for_connections()
        await writing


async def test_slow_reader_may_send_pings(serve: Serve) -> None:
    site = await serve(write_timeout_s=60)
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.upgrade(mint())
        await client.read_json()
        data = ["x" * 32_000] * 31
        for each in data:
            await site.send(each)
        for _ in range(20):
            await client.write(client_frame(frames.PING, b"alive"))
        await site.stats()
        for each in data:
            while (frame := await client.read_frame())[0] != frames.TEXT:
                pass
            assert each.encode() in frame[1]
        assert len(site.context.connections) > 0
    assert 20 * len(b"alive") < UNREAD_REPLIES_MAX_BYTES


@pytest.mark.parametrize("path", ["/v1/messages", f"/v1/messages?token={mint(exp=1)}"])
async def test_body_is_not_read_without_a_valid_token(site: Site, path: str) -> None:
    async with wire(site.port) as client:
        await client.write(request("POST", path, f"Content-Length: {limits.BODY_MAX_BYTES}"))
        assert (await client.read_response()).status == 401
        assert await client.read_some() == b""


async def test_body_without_a_use_is_not_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[object] = []
    respond = Dispatcher.respond

    async def record(self: Dispatcher, match: Match, head: RequestHead, body: bytes) -> object:
        bodies.append(body)
        return await respond(self, match, head, body)

    monkeypatch.setattr(Dispatcher, "respond", record)
    async with wire(site.port) as client:
        body = b"x" * limits.BODY_MAX_BYTES
        assert (await client.fetch("GET", "/healthz", body=body)).status == 200
        assert (await client.fetch("GET", "/healthz")).status == 200
    assert bodies == [b"", b""]


async def test_data_of_a_waiting_connection_is_not_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Callable[[], None]] = []
    monkeypatch.setattr(site.context.tick_budget, "submit", waiting.append)
    body = b"x" * (32 * 1024 * 1024)
    async with wire(site.port) as client:
        writing = asyncio.create_task(
            write_until_closed(client, request("GET", "/healthz", body=body))
        )
        _, unsent = await asyncio.wait({writing}, timeout=0.3)
        assert unsent
        waiting.pop()()
        assert (await client.read_response()).status == 413
        await site.wait_for_connections()
        await writing
