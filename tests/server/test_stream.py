"""headrace.server.stream on a transport in memory: a peer that takes nothing from the start."""

import asyncio
from collections.abc import Callable

import pytest
from tests.server.kit import SECRET

from headrace import limits
from headrace.entries import Entry
from headrace.message import Form
from headrace.server import Server
from headrace.server.events import EventStreamProtocol
from headrace.server.stream import StreamProtocol
from headrace.server.websocket import WebSocketProtocol
from headrace.session import State
from headrace.settings import Settings
from headrace.tokens import Claims

MakeStream = Callable[[Server, asyncio.Transport], StreamProtocol]


class MemoryTransport(asyncio.Transport):
    """Holds what is written; pauses its protocol when that passes the high-water mark, once."""

    def __init__(self, waiting_bytes: int = 0) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.high_water_bytes = 0
        self.protocol: StreamProtocol | None = None
        self.aborted = False
        self._waiting_bytes = waiting_bytes
        self._paused = waiting_bytes > limits.WRITE_HIGH_WATER_BYTES

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > self.high_water_bytes and not self._paused:
            self._paused = True
            assert self.protocol
            self.protocol.pause_writing()

    def take_all(self) -> None:
        """What the peer does when it reads at last."""
        self._waiting_bytes = 0
        if self._paused:
            self._paused = False
            assert self.protocol
            self.protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high_water_bytes = limits.WRITE_HIGH_WATER_BYTES if high is None else high

    def get_write_buffer_size(self) -> int:
        return self._waiting_bytes

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture(
    params=[
        EventStreamProtocol,
        lambda server, transport: WebSocketProtocol(server, transport, Form.V1),
    ],
    ids=["events", "websocket"],
)
def make_stream(request: pytest.FixtureRequest) -> MakeStream:
    made: MakeStream = request.param
    return made


async def opened(
    make_stream: MakeStream, transport: MemoryTransport
) -> tuple[Server, StreamProtocol]:
    """A server with a client that has missed two messages and comes back on `transport`."""
    server = Server(Settings(secrets=(SECRET,), write_timeout_s=60))
    last = server.hub.history.latest
    for data in ("first", "second"):
        await server.hub.publish(Entry(data=data, to=("alice",)))
    transport.protocol = stream = make_stream(server, transport)
    stream.open(Claims("alice", server.clocks.unix() + 7200), last)
    return server, stream


@pytest.mark.parametrize("waiting_bytes", [0, limits.WRITE_HIGH_WATER_BYTES + 1])
async def test_who_takes_nothing_from_the_start_is_given_no_more_than_the_notice(
    make_stream: MakeStream, waiting_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fills up at the notice of the attach, or did at the head before."""
    if not waiting_bytes:
        monkeypatch.setattr(limits, "WRITE_HIGH_WATER_BYTES", 0)
    transport = MemoryTransport(waiting_bytes)
    server, _ = await opened(make_stream, transport)
    (session,) = server.hub.sessions
    assert session.state is State.PAUSED
    server.hub.flush()
    await server.hub.publish(Entry(data="third", to=("alice",)))
    server.hub.flush()
    assert len(transport.written) == 1
    assert b'"open"' in transport.written[0]

    transport.high_water_bytes = 1 << 20
    transport.take_all()
    server.hub.flush()
    rest = b"".join(transport.written[1:])
    assert rest.index(b"first") < rest.index(b"second") < rest.index(b"third")
    assert session.backlog == 0


async def test_who_takes_nothing_from_the_start_is_cut_in_time(
    make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WRITE_HIGH_WATER_BYTES", 0)
    transport = MemoryTransport()
    server, stream = await opened(make_stream, transport)
    now = server.clocks.monotonic()
    stream.on_deadline(now + 59)
    assert not transport.aborted
    stream.on_deadline(now + 61)
    assert transport.aborted


async def test_who_takes_all_is_given_all(make_stream: MakeStream) -> None:
    transport = MemoryTransport()
    server, _ = await opened(make_stream, transport)
    server.hub.flush()
    assert b"second" in transport.written[-1]
