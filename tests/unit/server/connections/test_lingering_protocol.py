"""server/connections/lingering_protocol.py: a connection after its last response."""

import pytest
from tests.helpers.fakes_asyncio import MemoryTransport, ServerBench, server_bench

from headrace.server.connections.lingering_protocol import LINGER_S, LingeringProtocol
from headrace.server.context import CLOSE_TIMEOUT_S


def lingering(bench: ServerBench, transport: MemoryTransport, **how: bool) -> LingeringProtocol:
    protocol = LingeringProtocol(bench.context)
    transport.connect(protocol)
    bench.context.connections.add(protocol)
    protocol.begin(**how)
    return protocol


async def test_it_ends_our_side_and_discards_what_arrives_until_the_peer_ends() -> None:
    async with server_bench() as bench:
        transport = MemoryTransport()
        transport.pause_reading()
        lingering(bench, transport)
        assert transport.wrote_eof
        assert transport.is_reading()
        transport.feed(b"x" * 100_000)
        assert not transport.is_closing()
        transport.feed_eof()
        assert transport.is_closing()
        assert not transport.aborted
        transport.lose()
        assert not bench.context.connections
        assert len(bench.context.timers) == 0


@pytest.mark.parametrize(
    ("has_write_eof", "how", "seconds"),
    [
        (True, {}, LINGER_S),
        (True, {"paused": True}, 60),
        (True, {"peer_ended": True}, CLOSE_TIMEOUT_S),
        (False, {}, CLOSE_TIMEOUT_S),
    ],
)
async def test_a_peer_that_does_not_end_is_aborted(
    has_write_eof: bool, how: dict[str, bool], seconds: float
) -> None:
    async with server_bench(write_timeout_s=60) as bench:
        transport = MemoryTransport()
        transport.has_write_eof = has_write_eof
        lingering(bench, transport, **how)
        assert transport.wrote_eof == (has_write_eof and not how.get("peer_ended"))
        assert transport.is_closing() == (not transport.wrote_eof)
        bench.advance(seconds - 0.5)
        assert not transport.aborted
        bench.advance(1)
        assert transport.aborted


async def test_a_peer_that_reads_again_gets_the_usual_time() -> None:
    async with server_bench(write_timeout_s=60) as bench:
        transport = MemoryTransport()
        protocol = lingering(bench, transport, paused=True)
        bench.advance(30)
        protocol.resume_writing()
        bench.advance(LINGER_S - 0.5)
        assert not transport.aborted
        bench.advance(1)
        assert transport.aborted
