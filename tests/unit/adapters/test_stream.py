"""adapters/stream.py: one session over a connection of the host, here a fake one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from tests.helpers.hosts import hub_for_host
from tests.helpers.site import mint

from headrace import codes
from headrace.adapters import stream as stream_module
from headrace.adapters.stream import WAITING_MAX_COUNT, HostedStream, frame_texts
from headrace.api.hub import Hub
from headrace.api.stream_requests import StreamRequest
from headrace.errors import InvalidTokenError
from headrace.messages.message import (
    ControlMessage,
    Encodable,
    Encoding,
    Message,
    MessageBatch,
)
from headrace.messages.position import Position


class MemoryConnection:
    """A host's connection; `writable` is cleared while the client does not read."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.outgoing: asyncio.Queue[str] = asyncio.Queue()
        self.writable = asyncio.Event()
        self.writable.set()
        self.writes: list[Encodable] = []
        self.closes: list[int] = []
        self.aborts = 0
        self.is_lost = False

    async def read(self) -> str | bytes | None:
        return await self.incoming.get()

    async def write(self, what: Encodable) -> None:
        await self.writable.wait()
        if self.is_lost:
            raise ConnectionResetError
        self.writes.append(what)
        for text in frame_texts(what, Encoding.V1):
            self.outgoing.put_nowait(text)

    async def close(self, code: int, reason: str) -> None:
        await self.writable.wait()
        assert reason == codes.REASONS[code]
        self.closes.append(code)

    def abort(self) -> None:
        self.aborts += 1


def request_of(hub: Hub) -> StreamRequest:
    return StreamRequest(Encoding.V1, hub.verify(mint()), None, None, None)


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[tuple[MemoryConnection, asyncio.Task[None]]]:
    """Run a stream of "alice" until the block ends; yield after its `open`."""
    connection = MemoryConnection()
    spawned: list[asyncio.Task[None]] = []
    stream = HostedStream(hub, connection, lambda work: spawned.append(asyncio.create_task(work)))
    task = asyncio.create_task(stream.run(request_of(hub)))
    assert '"open"' in await connection.outgoing.get()
    try:
        yield connection, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not hub.core.sessions
        await asyncio.gather(*spawned)


async def test_whole_batches_are_written_while_the_rest_waits_in_the_ring() -> None:
    async with hub_for_host() as hub, running(hub) as (connection, _):
        connection.writable.clear()
        await hub.send("0", to="alice")
        await asyncio.sleep(0)  # the flush
        await asyncio.sleep(0)  # the write begins
        for number in range(1, 10):
            await hub.send(str(number), to="alice")
        (session,) = hub.core.sessions
        assert session.backlog == 9
        connection.writable.set()
        texts = [await connection.outgoing.get() for _ in range(10)]
        assert [f'"data":"{number}"' in text for number, text in enumerate(texts)] == [True] * 10
        assert isinstance(connection.writes[-1], MessageBatch)
        assert len(connection.writes) == 3  # `open`, the first message, the batch


async def test_close_comes_after_what_was_delivered() -> None:
    async with hub_for_host() as hub, running(hub) as (connection, task):
        await hub.send("last", to="alice")
        hub.core.flush()
        await hub.disconnect("alice")
        await task
        assert '"last"' in connection.outgoing.get_nowait()
        assert connection.closes == [codes.REVOKED_TOKEN]


async def test_close_that_takes_too_long_is_an_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "CLOSE_TIMEOUT_S", 0.05)
    async with hub_for_host() as hub, running(hub) as (connection, task):
        connection.writable.clear()
        await hub.disconnect("alice")
        await task
        assert (connection.closes, connection.aborts) == ([], 1)


async def test_write_that_takes_too_long_is_an_abort() -> None:
    async with hub_for_host(write_timeout_s=0.1) as hub, running(hub) as (connection, task):
        connection.writable.clear()
        await hub.send("x", to="alice")
        await task
        assert (connection.closes, connection.aborts) == ([], 1)


async def test_lost_connection_ends_the_stream() -> None:
    async with hub_for_host() as hub, running(hub) as (connection, task):
        connection.is_lost = True
        await hub.send("x", to="alice")
        await task
    async with hub_for_host() as hub, running(hub) as (connection, task):
        connection.incoming.put_nowait(None)
        await task
        assert connection.closes == []


async def test_client_that_does_not_read_its_replies_is_not_read() -> None:
    async with hub_for_host() as hub, running(hub) as (connection, _):
        connection.writable.clear()
        for _ in range(3 * WAITING_MAX_COUNT):
            connection.incoming.put_nowait("no JSON")
        for _ in range(10 * WAITING_MAX_COUNT):
            await asyncio.sleep(0)
        assert WAITING_MAX_COUNT / 2 < connection.incoming.qsize() < 2 * WAITING_MAX_COUNT
        connection.writable.set()
        for _ in range(3 * WAITING_MAX_COUNT):
            assert '"error"' in await connection.outgoing.get()


async def test_hub_that_changed_since_the_request_was_checked() -> None:
    async with hub_for_host() as hub:
        cases = [
            (request_of(hub)._replace(claims=None, fault=InvalidTokenError("x")), 4001),
            (request_of(hub), codes.REVOKED_TOKEN),
            (request_of(hub), codes.RESTART),
        ]
        for request, code in cases:
            if code == codes.REVOKED_TOKEN:
                await hub.disconnect("alice")
            elif code == codes.RESTART:
                await hub.drain()
            connection = MemoryConnection()
            stream = HostedStream(hub, connection, lambda work: work.close())
            await stream.run(request)
            assert connection.closes == [code]


async def test_unexpected_exception_reaches_the_host() -> None:
    async with hub_for_host() as hub:
        connection = MemoryConnection()
        connection.write = None  # type: ignore[assignment, method-assign]  # plants a bug
        stream = HostedStream(hub, connection, lambda work: work.close())
        with pytest.raises(TypeError):
            await stream.run(request_of(hub))
        assert not hub.core.sessions


def test_frame_texts() -> None:
    one, two = Message(Position(1, 0), "one"), Message(Position(2, 0), "two", "g")
    batch = MessageBatch((one, two))
    assert frame_texts(batch, Encoding.BARE) == ["one", "two"]
    assert frame_texts(batch, Encoding.V1) == [
        '{"id":"1-0","data":"one"}',
        '{"id":"2-0","data":"two","group":"g"}',
    ]
    ping = ControlMessage({"type": "ping"})
    assert frame_texts(ping, Encoding.V1) == ['{"type":"ping"}']
    assert frame_texts(ping, Encoding.BARE) == []
