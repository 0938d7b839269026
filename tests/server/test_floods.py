"""What one connection sends in one go is worked off in turns: others are served in between."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.server.conftest import Serve
from tests.server.kit import Site, mint
from tests.server.wire import CONTINUATION, Wire, masked, request, wire

from headrace import frames, limits
from headrace.api.dispatch import Dispatcher
from headrace.api.routing import Match
from headrace.protocol.body import ChunkedBody
from headrace.protocol.guard import Guard
from headrace.protocol.http import Request
from headrace.server.websocket import WebSocketProtocol

REFUSED = 4000


class LongestRun:
    """Counts calls, and how many there were at most within one tick of the loop."""

    def __init__(self) -> None:
        self.calls = 0
        self.longest = 0
        self._run = 0

    def watch(self, patch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            if not self._run:
                asyncio.get_running_loop().call_soon(self._end_tick)
            self._run += 1
            self.calls += 1
            self.longest = max(self.longest, self._run)
            return original(*args, **kwargs)

        patch.setattr(owner, name, counted)

    def _end_tick(self) -> None:
        self._run = 0


async def write_or_be_cut(client: Wire, data: bytes, *, again: bool = False) -> None:
    with suppress(ConnectionResetError, BrokenPipeError):
        await client.write(data)
        while again:
            await client.write(data)


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
async def test_requests_that_are_refused_at_once_take_turns(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    run = LongestRun()
    run.watch(monkeypatch, Dispatcher, "begin")
    path = "/v1/send" if method == "POST" else "/nothing"
    async with wire(site.port) as client:
        writing = asyncio.create_task(client.write(request(method, path) * REFUSED))
        statuses = {(await client.reply()).status for _ in range(REFUSED)}
        await writing
    assert statuses == {401 if method == "POST" else 404}
    assert run.calls == REFUSED
    assert run.longest < REFUSED / 4


async def test_a_body_of_tiny_chunks_takes_turns(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = LongestRun()
    run.watch(monkeypatch, ChunkedBody, "_step")
    chunks = 30_000
    async with wire(site.port) as client:
        head = request("POST", f"/v1/messages?token={mint()}", "Transfer-Encoding: chunked")
        await client.write(head + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")
        assert (await client.reply()).status == 400
    assert run.calls > 3 * chunks
    assert run.longest < 3 * chunks / 4


@pytest.mark.parametrize("token", [mint(), "none"], ids=["a client", "no token"])
async def test_tiny_frames_take_turns(
    site: Site, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    run = LongestRun()
    run.watch(monkeypatch, Guard, "frame_inbound_complete")
    async with wire(site.port) as client:
        await client.upgrade(token)
        fragments = masked(CONTINUATION, b"", final=False) * 20_000
        await client.write(masked(frames.TEXT, b"", final=False) + fragments)
        await client.write(masked(CONTINUATION, b"") + masked(frames.PING, b"last"))
        if token != "none":
            await client.json()
            assert (await client.json())["code"] == 400
            assert await client.frame() == (frames.PONG, b"last")
        else:
            assert await client.close_code() == 4001
            await client.read_until_cut()
    assert run.calls >= 20_000
    assert run.longest < 20_000 / 4


async def test_pings_take_turns(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = LongestRun()
    run.watch(monkeypatch, WebSocketProtocol, "_write_control")
    pings = 20_000
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.json()
        writing = asyncio.create_task(client.write(masked(frames.PING, b"") * pings))
        for _ in range(pings):
            assert await client.frame() == (frames.PONG, b"")
        await writing
    assert run.calls == pings
    assert run.longest < pings / 4


async def test_whoever_renews_without_reading_is_cut(site: Site) -> None:
    token = mint("\x01" * 250)
    renewal = masked(frames.TEXT, b'{"type":"renew","token":"%b"}' % token.encode())
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.upgrade(token)
        writing = asyncio.create_task(write_or_be_cut(client, renewal * 10, again=True))
        await site.connections_end()
        await writing


async def test_whoever_reads_slowly_may_ping_meanwhile(serve: Serve) -> None:
    site = await serve(write_timeout_s=60)
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.upgrade(mint())
        await client.json()
        data = ["x" * 32_000] * 31
        for each in data:
            await site.send(each)
        for _ in range(20):
            await client.write(masked(frames.PING, b"still here"))
        await site.stats()
        for each in data:
            while (answer := await client.frame())[0] != frames.TEXT:
                pass
            assert each.encode() in answer[1]
        assert len(site.server.connections) > 0
    assert 20 * len(b"still here") < limits.PENDING_CONTROL_MAX_BYTES


@pytest.mark.parametrize("path", ["/v1/messages", f"/v1/messages?token={mint(exp=1)}"])
async def test_no_body_is_read_of_whoever_has_no_token(site: Site, path: str) -> None:
    async with wire(site.port) as client:
        await client.write(request("POST", path, f"Content-Length: {limits.BODY_MAX_BYTES}"))
        assert (await client.reply()).status == 401
        assert await client.read_some() == b""


async def test_a_body_that_no_route_wants_is_not_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []
    answer = Dispatcher.answer

    async def watched(self: Dispatcher, match: Match, asked: Request, body: bytes) -> object:
        taken.append(body)
        return await answer(self, match, asked, body)

    monkeypatch.setattr(Dispatcher, "answer", watched)
    async with wire(site.port) as client:
        body = b"x" * limits.BODY_MAX_BYTES
        assert (await client.ask("GET", "/healthz", body=body)).status == 200
        assert (await client.ask("GET", "/healthz")).status == 200
    assert taken == [b"", b""]


async def test_what_comes_before_a_connection_s_turn_waits_on_its_way(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Callable[[], None]] = []
    monkeypatch.setattr(site.server.admission, "submit", waiting.append)
    body = b"x" * (32 * 1024 * 1024)
    async with wire(site.port) as client:
        writing = asyncio.create_task(
            write_or_be_cut(client, request("GET", "/healthz", body=body))
        )
        _, unsent = await asyncio.wait({writing}, timeout=0.3)
        assert unsent
        waiting.pop()()
        assert (await client.reply()).status == 413
        await site.connections_end()
        await writing
