"""server/connections/http_protocol.py on a transport in memory: arrival, phases, deadlines."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from tests.helpers.fakes_asyncio import API_KEY, MemoryTransport, ServerBench, server_bench
from tests.helpers.site import mint
from tests.helpers.wire import handshake, request

from headrace.api.body_stream import StreamedResponse
from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.server import context as context_module
from headrace.server.connections.http_protocol import (
    BODY_TIMEOUT_S,
    HEADER_TIMEOUT_S,
    KEEP_ALIVE_S,
    REQUESTS_PER_TURN,
    HttpProtocol,
)
from headrace.server.connections.lingering_protocol import LingeringProtocol
from headrace.server.connections.stream_protocol import StreamProtocol

HEALTH = request("GET", "/healthz")


class Handlers:
    """Routes of an application; each waits until its event is set."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.cancelled = False
        self.started = 0

    async def wait(self, request: Request) -> Response:
        self.started += 1
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return Response(200, (), b"waited")

    async def stream(self, request: Request) -> StreamedResponse:
        return StreamedResponse(200, (), self._pieces(request))

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        async for piece in request.body:
            yield piece
        await self.released.wait()
        yield b"end"

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            Route("GET", "/wait", self.wait),
            Route("GET", "/task", self.wait, run_in_task=True),
            Route("GET", "/cancel", self.wait, cancel_on_disconnect=True),
            Route("POST", "/stream", self.stream, stream_body=True),
        )


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
async def bench(handlers: Handlers) -> AsyncIterator[ServerBench]:
    async with server_bench(routes=handlers.routes, max_connections=3) as bench:
        yield bench


def statuses(written: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", written)]


async def settle() -> None:
    """Let tasks run that need no further event."""
    for _ in range(5):
        await asyncio.sleep(0)


def admitted(bench: ServerBench) -> tuple[HttpProtocol, MemoryTransport]:
    """Return a connection that has had its first turn, and one response."""
    protocol, transport = bench.connect()
    transport.feed(HEALTH)
    bench.take_turns()
    assert statuses(transport.take_written()) == [200]
    return protocol, transport


# --- arrival ---------------------------------------------------------------------------------


async def test_the_first_bytes_of_a_connection_wait_for_its_turn(bench: ServerBench) -> None:
    _, transport = bench.connect()
    transport.feed(HEALTH[:9])
    assert transport.is_reading()
    transport.feed(HEALTH[9:])  # a second read: the rest waits in the kernel
    assert not transport.is_reading()
    assert transport.take_written() == b""
    assert len(bench.context.tick_budget.waiting) == 1
    bench.take_turns()
    assert statuses(transport.take_written()) == [200]
    assert transport.is_reading()
    transport.feed(HEALTH)  # later requests do not wait
    assert statuses(transport.take_written()) == [200]


async def test_connections_have_their_turns_in_the_order_of_their_first_bytes(
    bench: ServerBench,
) -> None:
    transports = [bench.connect()[1] for _ in range(3)]
    for index in (2, 0, 1):
        transports[index].feed(HEALTH)
    order: list[int] = []
    for turn in list(bench.context.tick_budget.waiting):
        turn()
        order += [index for index in range(3) if transports[index].take_written()]
    assert order == [2, 0, 1]


async def test_a_connection_that_is_lost_before_its_turn(bench: ServerBench) -> None:
    _, transport = bench.connect()
    transport.feed(HEALTH)
    transport.lose()
    bench.take_turns()
    assert transport.take_written() == b""
    assert not bench.context.connections
    assert not bench.context.refused
    assert len(bench.context.timers) == 0


async def test_an_end_of_stream_without_a_request_closes(bench: ServerBench) -> None:
    _, transport = bench.connect()
    transport.feed_eof()
    assert transport.is_closing()
    assert not bench.context.tick_budget.waiting


async def test_a_request_whose_client_ended_before_the_turn_is_answered(bench: ServerBench) -> None:
    _, transport = bench.connect()
    transport.feed(HEALTH)
    transport.feed_eof()
    assert not transport.is_closing()
    bench.take_turns()
    assert statuses(transport.take_written()) == [200]
    assert transport.is_closing()
    assert not transport.aborted


async def test_over_tls_there_are_no_half_closed_connections(bench: ServerBench) -> None:
    _, transport = bench.connect()
    transport.has_write_eof = False
    transport.feed(HEALTH)
    transport.feed_eof()
    assert transport.is_closing()
    bench.take_turns()
    assert transport.take_written() == b""


async def test_an_upgrade_whose_client_ended_before_the_turn(bench: ServerBench) -> None:
    token = bench.hub.create_channel("ada").token
    _, transport = bench.connect()
    transport.feed(handshake(token))
    transport.feed_eof()
    bench.take_turns()
    assert transport.take_written().startswith(b"HTTP/1.1 101 ")
    assert transport.is_closing()
    transport.lose()
    assert not bench.context.connections
    assert bench.hub.core.sessions == {}


async def test_a_long_poll_whose_client_ended_before_the_turn(bench: ServerBench) -> None:
    token = bench.hub.create_channel("ada").token
    _, transport = bench.connect()
    transport.feed(request("GET", f"/v1/poll?token={token}"))
    transport.feed_eof()
    bench.take_turns()
    assert transport.is_closing()
    await settle()
    transport.lose()
    await settle()
    assert transport.take_written() == b""
    assert bench.hub.core.sessions == {}


async def test_an_incomplete_head_whose_client_ended_before_the_turn(bench: ServerBench) -> None:
    _, transport = bench.connect()
    transport.feed(HEALTH[:-2])
    transport.feed_eof()
    bench.take_turns()
    assert transport.take_written() == b""
    assert transport.is_closing()


async def test_a_connection_over_the_limit_that_gives_way_gets_503(
    bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_module, "REFUSED_MAX_COUNT", 2)
    monkeypatch.setattr(context_module, "RESERVED_MAX_COUNT", 1)
    transports = [bench.connect()[1] for _ in range(6)]
    assert len(bench.context.connections) == 3
    assert len(bench.context.reserved) == 1
    for transport in transports[3:5]:
        written = transport.take_written()
        assert statuses(written) == [503]
        assert b"retry-after: 5\r\n" in written
        assert transport.wrote_eof
        assert not transport.aborted
    assert len(bench.context.refused) == 2
    _, further = bench.connect()
    assert statuses(transports[5].take_written()) == [503]
    assert transports[5].aborted
    for transport in [*transports, further]:
        transport.lose()
    assert not bench.context.refused
    assert not bench.context.reserved


async def test_a_connection_over_the_limit_is_for_the_application_and_for_probes(
    bench: ServerBench,
) -> None:
    for _ in range(3):
        bench.connect()
    send = b'{"to":"ada","data":"x"}'
    authorization = f"Authorization: Bearer {API_KEY}"
    for target, expected in [
        (request("GET", "/healthz"), 200),
        (request("GET", "/readyz"), 200),
        (request("POST", "/v1/send", authorization, body=send), 200),
        (request("GET", f"/v1/poll?token={mint()}"), 503),
    ]:
        _, transport = bench.connect()
        transport.feed(target)
        bench.take_turns()
        written = transport.take_written()
        assert statuses(written) == [expected]
        assert b"connection: close\r\n" in written
        assert not bench.context.reserved
        transport.lose()


async def test_of_the_connections_over_the_limit_the_longest_silent_one_gives_way(
    bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_module, "RESERVED_MAX_COUNT", 2)
    for _ in range(3):
        bench.connect()
    _, active = bench.connect()
    _, silent = bench.connect()
    active.feed(b"GET")
    _, further = bench.connect()
    assert statuses(silent.take_written()) == [503]
    assert active.take_written() == further.take_written() == b""


async def test_during_a_drain_new_connections_are_for_probes_alone(bench: ServerBench) -> None:
    await bench.hub.drain()
    authorization = f"Authorization: Bearer {API_KEY}"
    for target, expected in [
        (request("GET", "/healthz"), 200),
        (request("GET", "/readyz"), 503),
        (request("GET", "/v1/stats", authorization), 503),
        (request("GET", f"/v1/poll?token={mint()}"), 503),
    ]:
        _, transport = bench.connect()
        transport.feed(target)
        bench.take_turns()
        assert statuses(transport.take_written()) == [expected]


# --- one request after the other -------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order_with_a_turn_for_others_in_between(
    bench: ServerBench,
) -> None:
    _, transport = admitted(bench)
    transport.feed(HEALTH * (REQUESTS_PER_TURN + 5))
    assert statuses(transport.take_written()) == [200] * REQUESTS_PER_TURN
    assert not transport.is_reading()
    bench.take_turns()
    assert statuses(transport.take_written()) == [200] * 5
    assert transport.is_reading()


async def test_exactly_one_turn_of_requests_does_not_wait(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    transport.feed(HEALTH * REQUESTS_PER_TURN)
    assert statuses(transport.take_written()) == [200] * REQUESTS_PER_TURN
    assert transport.is_reading()
    assert not bench.context.tick_budget.waiting


@pytest.mark.parametrize("path", ["/wait", "/task"])
async def test_while_a_handler_waits_nothing_is_read(
    bench: ServerBench, handlers: Handlers, path: str
) -> None:
    _, transport = admitted(bench)
    transport.feed(request("GET", path) + HEALTH)
    await settle()
    assert transport.take_written() == b""
    assert not transport.is_reading()
    handlers.released.set()
    await settle()
    written = transport.take_written()
    assert statuses(written) == [200, 200]
    assert b"waited" in written
    assert transport.is_reading()


async def test_a_handler_finishes_after_its_client_has_disconnected(
    bench: ServerBench, handlers: Handlers
) -> None:
    _, transport = admitted(bench)
    transport.feed(request("GET", "/wait"))
    transport.lose()
    handlers.released.set()
    await settle()
    assert not handlers.cancelled
    assert transport.take_written() == b""


async def test_a_handler_that_waits_for_an_event_is_cancelled_by_a_disconnect(
    bench: ServerBench, handlers: Handlers
) -> None:
    for lose in (MemoryTransport.lose, MemoryTransport.feed_eof):
        handlers.cancelled = False
        _, transport = admitted(bench)
        transport.feed(request("GET", "/cancel"))
        await settle()
        assert transport.is_reading()
        lose(transport)
        assert transport.is_closing()
        transport.lose()
        await settle()
        assert handlers.cancelled


async def test_no_request_is_taken_while_the_peer_does_not_read(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    transport.peer_reads = False
    transport.high_water_bytes = 0
    transport.feed(HEALTH * 3)
    assert statuses(transport.take_written()) == [200]
    assert not transport.is_reading()
    transport.peer_reads = True
    transport.read_all()
    assert statuses(transport.take_written()) == [200, 200]
    assert transport.is_reading()


async def test_a_malformed_request_gets_its_error_and_the_connection_lingers(
    bench: ServerBench,
) -> None:
    _, transport = admitted(bench)
    transport.feed(b"NO HTTP\r\n\r\n" + HEALTH)
    assert statuses(transport.take_written()) == [400]
    lingering = transport.get_protocol()
    assert isinstance(lingering, LingeringProtocol)
    assert transport.wrote_eof
    assert list(bench.context.connections) == [lingering]


async def test_an_upgraded_connection_is_a_stream(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    transport.feed(handshake(bench.hub.create_channel("ada").token))
    stream = transport.get_protocol()
    assert isinstance(stream, StreamProtocol)
    assert list(bench.context.connections) == [stream]
    assert len(bench.hub.core.sessions) == 1


async def test_while_the_hub_drains_each_response_is_the_last(bench: ServerBench) -> None:
    token = bench.hub.create_channel("ada").token
    connections = [admitted(bench)[1] for _ in range(3)]
    await bench.hub.drain()
    requests = (HEALTH, handshake(token), request("GET", f"/v1/poll?token={token}"))
    for transport, data, status in zip(connections, requests, (200, 503, 503), strict=True):
        transport.feed(data)
        await settle()
        written = transport.take_written()
        assert statuses(written) == [status]
        assert b"connection: close\r\n" in written
        assert transport.wrote_eof


async def test_shut_down_closes_idle_connections_only(bench: ServerBench) -> None:
    idle, idle_transport = admitted(bench)
    busy, busy_transport = admitted(bench)
    busy_transport.feed(HEALTH[:9])
    idle.shut_down()
    busy.shut_down()
    assert idle_transport.is_closing()
    assert not busy_transport.is_closing()


# --- bodies ----------------------------------------------------------------------------------


def send_request(data: str) -> bytes:
    body = b'{"data":"%b","to":"ada"}' % data.encode()
    headers = (f"Authorization: Bearer {API_KEY}", "Content-Type: application/json")
    return request("POST", "/v1/send", *headers, body=body)


async def test_a_body_may_come_in_pieces(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    whole = send_request("x" * 1000)
    for start in range(0, len(whole), 100):
        assert transport.take_written() == b""
        transport.feed(whole[start : start + 100])
    assert statuses(transport.take_written()) == [200]
    assert bench.hub.core.counters.messages == 1


async def test_a_request_that_is_refused_by_its_head_is_not_read(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    head = request("POST", "/v1/send", "Content-Length: 1000", "Expect: 100-continue")
    transport.feed(head)
    written = transport.take_written()
    assert statuses(written) == [401]
    assert b"connection: close\r\n" in written


async def test_a_client_that_expects_100_gets_it(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    whole = send_request("x").replace(b"Content-Type", b"Expect: 100-continue\r\nContent-Type")
    head, _, body = whole.partition(b"\r\n\r\n")
    transport.feed(head + b"\r\n\r\n")
    assert transport.take_written() == b"HTTP/1.1 100 Continue\r\n\r\n"
    transport.feed(body)
    assert statuses(transport.take_written()) == [200]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAM = request(
    "POST", "/stream", "Content-Type: application/x-ndjson", "Transfer-Encoding: chunked"
)


async def test_a_streamed_body_is_answered_while_it_arrives(
    bench: ServerBench, handlers: Handlers
) -> None:
    _, transport = admitted(bench)
    transport.feed(STREAM)
    await settle()
    assert statuses(transport.take_written()) == [200]
    transport.feed(chunk(b"one"))
    await settle()
    assert transport.take_written() == chunk(b"one")
    transport.feed(b"0\r\n\r\n" + HEALTH)
    handlers.released.set()
    await settle()
    written = transport.take_written()
    assert written.startswith(chunk(b"end") + b"0\r\n\r\nHTTP/1.1 200")


async def test_a_streamed_body_that_is_cut_short_ends_the_connection(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    transport.feed(STREAM + chunk(b"one"))
    await settle()
    transport.feed(b"not a chunk\r\n")
    await settle()
    assert transport.aborted


# --- deadlines -------------------------------------------------------------------------------


async def test_a_new_connection_that_sends_nothing_is_closed(bench: ServerBench) -> None:
    _, transport = bench.connect()
    bench.advance(HEADER_TIMEOUT_S - 0.5)
    assert not transport.is_closing()
    bench.advance(1)
    assert transport.is_closing()
    assert transport.take_written() == b""


async def test_a_slow_head_gets_408(bench: ServerBench) -> None:
    _, transport = bench.connect()
    bench.advance(HEADER_TIMEOUT_S - 1)
    transport.feed(HEALTH[:5])
    bench.take_turns()
    bench.advance(1.5)  # from accepting the connection
    assert statuses(transport.take_written()) == [408]
    assert isinstance(transport.get_protocol(), LingeringProtocol)


async def test_the_head_of_a_later_request_has_the_timeout_from_its_first_byte(
    bench: ServerBench,
) -> None:
    _, transport = admitted(bench)
    bench.advance(KEEP_ALIVE_S - 5)
    for byte in HEALTH[:4]:
        transport.feed(bytes([byte]))
        bench.advance(2.25)
    assert transport.take_written() == b""
    bench.advance(1.5)
    assert statuses(transport.take_written()) == [408]


async def test_a_connection_whose_turn_is_late_is_not_blamed(bench: ServerBench) -> None:
    _, transport = bench.connect()
    transport.feed(HEALTH)
    bench.advance(3 * HEADER_TIMEOUT_S)
    assert not transport.is_closing()
    bench.take_turns()
    assert statuses(transport.take_written()) == [200]


async def test_a_slow_body_gets_408(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    transport.feed(send_request("x")[:-1])
    bench.advance(BODY_TIMEOUT_S - 0.5)
    assert transport.take_written() == b""
    bench.advance(1)
    written = transport.take_written()
    assert statuses(written) == [408]
    assert b"the request's body took too long to arrive" in written


async def test_an_idle_connection_is_closed(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    bench.advance(KEEP_ALIVE_S - 1)
    transport.feed(HEALTH)
    bench.advance(KEEP_ALIVE_S - 1)
    assert not transport.is_closing()
    bench.advance(1.5)
    assert transport.is_closing()
    assert not transport.aborted


async def test_the_timer_of_a_busy_connection_is_moved_only_when_it_fires(
    bench: ServerBench,
) -> None:
    protocol, transport = admitted(bench)
    tick = protocol.tick
    for _ in range(50):
        bench.clock.advance(0.1)
        transport.feed(HEALTH)
    assert protocol.tick == tick  # fifty requests, and the timer was not touched
    bench.advance(HEADER_TIMEOUT_S)
    assert protocol.tick > tick
    assert not transport.is_closing()


async def test_a_handler_that_waits_has_no_deadline(bench: ServerBench, handlers: Handlers) -> None:
    _, transport = admitted(bench)
    transport.feed(request("GET", "/wait"))
    bench.advance(10 * KEEP_ALIVE_S)
    assert not transport.is_closing()
    handlers.released.set()
    await settle()
    assert statuses(transport.take_written()) == [200]
    bench.advance(KEEP_ALIVE_S + 0.5)
    assert transport.is_closing()


@pytest.mark.parametrize("whole", [True, False])
async def test_a_streamed_response_has_no_deadline_once_the_body_has_arrived(
    bench: ServerBench, handlers: Handlers, whole: bool
) -> None:
    _, transport = admitted(bench)
    headers = ("Content-Type: application/x-ndjson",)
    transport.feed(
        request("POST", "/stream", *headers, body=b"{}")
        if whole
        else STREAM + chunk(b"{}") + b"0\r\n\r\n"
    )
    await settle()
    bench.advance(10 * KEEP_ALIVE_S)
    assert not transport.aborted
    handlers.released.set()
    await settle()
    assert transport.take_written().endswith(chunk(b"end") + b"0\r\n\r\n")
    assert not transport.is_closing()


async def test_a_streamed_body_has_a_deadline_between_its_pieces(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    transport.feed(STREAM)
    for _ in range(3):
        bench.advance(BODY_TIMEOUT_S - 0.5)
        transport.feed(chunk(b"x"))
    await settle()
    assert not transport.is_closing()
    bench.advance(BODY_TIMEOUT_S + 0.5)
    assert transport.aborted
    transport.lose()
    await settle()


async def test_a_peer_that_does_not_read_its_responses_is_aborted(bench: ServerBench) -> None:
    _, transport = admitted(bench)
    transport.peer_reads = False
    transport.high_water_bytes = 0
    transport.feed(HEALTH)
    bench.advance(bench.hub.settings.write_timeout_s + 0.5)
    assert transport.aborted
