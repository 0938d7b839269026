"""api/session_drain.py: closing all sessions, spread over time."""

import asyncio
import random
from functools import partial

import pytest
from tests.helpers.fakes import HubBench, MemorySink

from headrace import codes
from headrace.api.session_drain import CLOSES_PER_S, drain_duration, drain_sessions


@pytest.mark.parametrize(
    ("sessions", "drain_s", "duration_s"),
    [
        (0, 30, 0),
        (1, 30, 1 / CLOSES_PER_S),
        (CLOSES_PER_S, 30, 1),
        (1_000_000, 30, 30),
        (1000, 0, 0),
    ],
)
def test_the_duration_depends_on_the_number_of_sessions(
    sessions: int, drain_s: float, duration_s: float
) -> None:
    assert drain_duration(sessions, drain_s) == pytest.approx(duration_s)


async def test_each_session_gets_reconnect_and_is_closed_with_1012() -> None:
    bench = HubBench(drain_s=0)
    sinks = [bench.attach(name)[1] for name in "abc"]
    await drain_sessions(bench.core)
    for sink in sinks:
        assert sink.notices[-1] == {"type": "reconnect", "delay_ms": 0}
        assert sink.closes == [(codes.RESTART, codes.REASONS[codes.RESTART])]
    assert bench.core.sessions == {}


async def test_without_sessions_it_ends_at_once() -> None:
    await drain_sessions(HubBench(drain_s=3600).core)


async def test_the_closes_are_spread_in_random_order(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = HubBench(drain_s=30)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        bench.clock.advance(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(random, "shuffle", list.reverse)
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
    closed: list[str] = []

    def close(name: str, code: int) -> None:
        closed.append(name)

    sinks = {}
    for number in range(1000):
        name = str(number)
        sinks[name] = MemorySink(on_close=partial(close, name))
        bench.attach(name, sink=sinks[name])
    await drain_sessions(bench.core)
    assert closed == [str(number) for number in reversed(range(1000))]
    assert sum(waits) == pytest.approx(2, rel=0.01)  # a thousand sessions at 500 per second
    assert max(waits) == pytest.approx(0.002)
    assert {sink.notices[-1]["delay_ms"] for sink in sinks.values()} == {1000}


async def test_sessions_that_ended_in_the_meantime_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = HubBench(drain_s=30)
    detached, detached_sink = bench.attach("detached")
    lost, lost_sink = bench.attach("lost")
    _, open_sink = bench.attach("open")

    async def sleep(seconds: float) -> None:
        bench.clock.advance(seconds)
        bench.core.detach(detached)
        if lost in bench.core.sessions:
            bench.core.mark_disconnected(lost)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    # The open session comes first, so that the others end before their turn.
    monkeypatch.setattr(random, "shuffle", list.reverse)
    await drain_sessions(bench.core)
    assert open_sink.close_codes == [codes.RESTART]
    for sink in (detached_sink, lost_sink):
        assert [notice["type"] for notice in sink.notices] == ["open"]
        assert sink.closes == []
    assert bench.core.sessions == {}


async def test_a_session_that_opens_during_the_drain_is_not_closed() -> None:
    bench = HubBench(drain_s=0)
    late: list[MemorySink] = []
    first = MemorySink(on_close=lambda code: late.append(bench.attach("late")[1]))
    bench.attach("first", sink=first)
    await drain_sessions(bench.core)
    assert first.close_codes == [codes.RESTART]
    assert [sink.closes for sink in late] == [[]]
