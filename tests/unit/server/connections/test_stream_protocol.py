"""Event streams and WebSockets on a transport in memory: peers that do not read from the start."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.helpers.fakes_asyncio import MemoryTransport, ServerBench, server_bench

from headrace import Claims
from headrace.hub.session import SessionState
from headrace.messages.message import Encoding
from headrace.server.connections import stream_protocol
from headrace.server.connections.event_stream_protocol import EventStreamProtocol
from headrace.server.connections.stream_protocol import StreamProtocol
from headrace.server.connections.websocket_protocol import WebSocketProtocol
from headrace.server.context import ServerContext

MakeStream = Callable[[ServerContext, asyncio.Transport], StreamProtocol]


@pytest.fixture(
    params=[
        EventStreamProtocol,
        lambda context, transport: WebSocketProtocol(context, transport, Encoding.V1),
    ],
    ids=["events", "websocket"],
)
def make_stream(request: pytest.FixtureRequest) -> MakeStream:
    make: MakeStream = request.param
    return make


@pytest.fixture
async def bench() -> AsyncIterator[ServerBench]:
    async with server_bench(write_timeout_s=60) as bench:
        yield bench


async def open_stream(
    make_stream: MakeStream, bench: ServerBench, transport: MemoryTransport
) -> None:
    """Open a stream of a client that reconnects and has missed two messages."""
    last_id = bench.hub.core.history.latest
    for data in ("first", "second"):
        await bench.hub.send(data, to="alice")
    stream = make_stream(bench.context, transport)
    transport.set_protocol(stream)
    stream.open(Claims("alice", bench.clock.unix_s + 7200), last_id)


@pytest.mark.parametrize("full_before_open", [False, True])
async def test_peer_that_does_not_read_gets_only_the_open_message(
    make_stream: MakeStream,
    bench: ServerBench,
    full_before_open: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport = MemoryTransport()
    transport.peer_reads = False
    if full_before_open:
        transport.write(b"x" * (stream_protocol.WRITE_HIGH_WATER_BYTES + 1))
        transport.take_written()
    else:  # the `open` message fills the transport
        monkeypatch.setattr(stream_protocol, "WRITE_HIGH_WATER_BYTES", 0)
    await open_stream(make_stream, bench, transport)
    (session,) = bench.hub.core.sessions
    assert session.state is SessionState.PAUSED
    assert b'"open"' in transport.take_written()
    bench.hub.core.flush()
    await bench.hub.send("third", to="alice")
    bench.hub.core.flush()
    assert transport.take_written() == b""

    transport.peer_reads = True
    transport.read_all()
    bench.hub.core.flush()
    rest = transport.take_written()
    assert rest.index(b"first") < rest.index(b"second") < rest.index(b"third")
    assert session.backlog == 0


async def test_peer_that_does_not_read_is_aborted_after_the_write_timeout(
    make_stream: MakeStream, bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_protocol, "WRITE_HIGH_WATER_BYTES", 0)
    transport = MemoryTransport()
    transport.peer_reads = False
    await open_stream(make_stream, bench, transport)
    bench.advance(59)
    assert not transport.aborted
    bench.advance(2)
    assert transport.aborted


async def test_peer_that_reads_gets_everything(make_stream: MakeStream, bench: ServerBench) -> None:
    transport = MemoryTransport()
    await open_stream(make_stream, bench, transport)
    bench.hub.core.flush()
    assert b"second" in transport.take_written()
