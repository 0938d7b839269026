"""server/context.py: what the connections of one server share."""

import asyncio

import pytest
from tests.helpers.fakes_asyncio import ServerBench, server_bench

from headrace.errors import UnavailableError
from headrace.server import context as context_module
from headrace.server.timers import UNSET


class FakeConnection:
    """A connection that closes when it is told to, or only when it is aborted."""

    def __init__(self, bench: ServerBench, *, busy: bool = False) -> None:
        self.tick = UNSET
        self.calls: list[str] = []
        self._bench = bench
        self._busy = busy

    def on_deadline(self, now: float) -> None: ...

    def shut_down(self) -> None:
        self.calls.append("shut_down")
        if not self._busy:
            self._close()

    def abort(self) -> None:
        self.calls.append("abort")
        self._close()

    def give_way(self) -> None:
        self.calls.append("give_way")
        self._close()

    def _close(self) -> None:
        self._bench.context.loop.call_soon(self._bench.context.remove, self)


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_module, "CLOSE_TIMEOUT_S", 0.01)


async def test_it_takes_connections_up_to_the_limit_and_while_the_hub_serves() -> None:
    async with server_bench(max_connections=2) as bench:
        context = bench.context
        for _ in range(2):
            context.check_capacity()
            context.connections.add(FakeConnection(bench))
        with pytest.raises(UnavailableError, match="all 2 connections are in use; try again later"):
            context.check_capacity()
        context.connections.clear()
        await bench.hub.drain()
        with pytest.raises(UnavailableError, match="shutting down"):
            context.check_capacity()


async def test_remove_forgets_a_connection_everywhere() -> None:
    async with server_bench() as bench:
        context = bench.context
        connection = FakeConnection(bench)
        context.connections.add(connection)
        context.refused.add(connection)
        context.timers.set(connection, bench.clock.monotonic_s + 1)
        for _ in range(2):
            context.connection_closed.clear()
            context.remove(connection)
            assert not context.connections
            assert not context.refused
            assert len(context.timers) == 0
            assert context.connection_closed.is_set()


async def test_closing_waits_for_idle_connections_and_aborts_the_others() -> None:
    async with server_bench() as bench:
        idle, busy = FakeConnection(bench), FakeConnection(bench, busy=True)
        refused = FakeConnection(bench, busy=True)
        bench.context.connections |= {idle, busy}
        bench.context.refused.add(refused)
        await bench.context.close_connections()
        assert idle.calls == ["shut_down"]
        assert busy.calls == ["shut_down", "abort"]
        assert refused.calls == ["abort"]
        assert not bench.context.connections


async def test_closing_ends_at_once_without_connections() -> None:
    async with server_bench() as bench:
        async with asyncio.timeout(1):
            await bench.context.close_connections()


async def test_a_connection_that_cannot_be_closed_does_not_stop_the_closing() -> None:
    class Stuck(FakeConnection):
        def _close(self) -> None: ...

    async with server_bench() as bench:
        stuck = Stuck(bench)
        bench.context.connections.add(stuck)
        await bench.context.close_connections()
        assert stuck.calls == ["shut_down", "abort"]


async def test_spawned_work_runs_to_its_end() -> None:
    async with server_bench() as bench:
        done = asyncio.Event()

        async def work() -> None:
            await asyncio.sleep(0)
            done.set()

        bench.context.spawn(work())
        assert len(bench.context._tasks) == 1  # the event loop keeps only weak references
        await done.wait()
        await asyncio.sleep(0)
        assert not bench.context._tasks


async def test_the_date_is_that_of_the_clock_until_it_is_updated() -> None:
    async with server_bench() as bench:
        assert bench.context.headers[0] == ("date", "Sun, 24 Nov 2024 01:39:05 GMT")
        bench.clock.advance(60)
        assert bench.context.headers[0] == ("date", "Sun, 24 Nov 2024 01:39:05 GMT")
        bench.context.update_date()
        assert bench.context.headers[0] == ("date", "Sun, 24 Nov 2024 01:40:05 GMT")
