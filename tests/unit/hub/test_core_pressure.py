"""hub/core.py: slow sessions, and sinks that call the hub or raise."""

from typing import Any

import pytest
from tests.helpers.fakes import HubBench, MemorySink

from headrace import codes
from headrace.hub.session import SessionState
from headrace.messages.entries import Entry
from headrace.messages.message import Encodable, Message, MessageBatch

# --- slow sessions ---------------------------------------------------------------------------


def slow_bench(**settings: Any) -> HubBench:
    return HubBench(ring_max_messages=3, **settings)


def test_a_slow_session_is_closed_and_counted_and_resumes_without_loss() -> None:
    bench = slow_bench()
    session, sink = bench.attach("alice")
    _, fast = bench.attach("alice")
    bench.send("alice", data="0")
    bench.tick()
    session.pause()
    for data in "123":
        assert bench.send("alice", data=data).sessions == 2
    bench.tick()
    assert bench.send("alice", data="4").sessions == 1
    assert sink.closes == [(4008, codes.REASONS[4008])]
    assert bench.core.counters.slow_closed == 1
    assert session not in bench.core.sessions
    assert session.state is SessionState.CLOSED
    _, back = bench.attach("alice", last_id=sink.messages[-1].position)
    bench.send("alice", data="5")
    bench.tick()
    assert back.opened["recovered"] is True
    assert sink.data + back.data == fast.data == list("012345")


def test_a_session_over_the_limit_in_bytes_is_closed() -> None:
    bench = HubBench(ring_max_bytes=10)
    session, sink = bench.attach("alice")
    session.pause()
    bench.send("alice", data="x" * 5)
    bench.send("alice", data="x" * 5)
    assert not sink.closes
    bench.send("alice", data="x")
    assert sink.close_codes == [4008]


def test_drop_oldest_keeps_the_session_and_reports_the_gap() -> None:
    bench = slow_bench(slow_consumer="drop-oldest")
    session, sink = bench.attach("alice")
    sent = [bench.send("alice", data="0").id]
    bench.tick()
    session.pause()
    for data in "12345":
        receipt = bench.send("alice", data=data)
        assert receipt.sessions == 1
        sent.append(receipt.id)
    bench.core.resume(session)
    bench.tick()
    assert sink.data == list("0345")
    gap = sink.notices[-1]
    assert gap == {"type": "gap", "after": str(sent[0]), "before": str(sent[3])}
    assert (bench.core.counters.dropped, bench.core.counters.slow_closed) == (2, 0)


def test_a_thousand_paused_sessions_cost_no_writes() -> None:
    bench = HubBench()
    pairs = [bench.attach(f"client {number}") for number in range(1000)]
    for session, _ in pairs:
        session.pause()
    bench.append(Entry(data="x", everyone=True))
    assert bench.scheduled == []
    assert all(len(sink.delivered) == 1 for _, sink in pairs)


# --- sinks that call the hub -----------------------------------------------------------------


def test_a_send_from_deliver_keeps_the_order_for_everyone() -> None:
    bench = HubBench()
    replies = iter(["reply 1", "reply 2"])

    def reply(what: Encodable) -> None:
        if isinstance(what, (Message, MessageBatch)) and (data := next(replies, None)):
            bench.append(Entry(data=data, everyone=True))

    sinks = [
        bench.attach("first")[1],
        bench.attach("chatty", sink=MemorySink(on_deliver=reply))[1],
        bench.attach("last")[1],
    ]
    bench.append(Entry(data="question", everyone=True))
    while bench.scheduled:
        assert len(bench.scheduled) == 1
        bench.tick()
    assert all(sink.data == ["question", "reply 1", "reply 2"] for sink in sinks)


def test_a_send_from_deliver_during_attach_reaches_the_new_session_once() -> None:
    bench = HubBench()
    last = bench.send("alice", data="1").id
    bench.send("alice", data="2")
    greetings = iter(["3"])

    def greet(what: Encodable) -> None:
        for data in greetings:
            assert bench.send("alice", data=data).sessions == 1

    _, sink = bench.attach("alice", sink=MemorySink(on_deliver=greet), last_id=last)
    while bench.scheduled:
        bench.tick()
    assert sink.data == ["2", "3"]


def test_a_sink_that_is_closed_in_apply_may_send_and_detach_others() -> None:
    bench = slow_bench()
    others: list[tuple[Any, MemorySink]] = []

    def on_close(code: int) -> None:
        for other, _ in others:
            bench.core.detach(other)
        bench.send("witness", data="one is gone")

    sinks = []
    for name in ("a", "b"):
        session, sink = bench.attach(name, sink=MemorySink(on_close=on_close))
        session.pause()
        others.append((session, sink))
        sinks.append(sink)
    _, witness = bench.attach("witness")
    for number in range(3):
        bench.append(Entry(data=str(number), everyone=True))
    bench.tick()
    assert bench.append(Entry(data="3", everyone=True)).sessions == 1
    while bench.scheduled:
        bench.tick()
    assert [sink.close_codes for sink in sinks] == [[4008], [4008]]
    assert bench.core.counters.slow_closed == 2
    assert witness.data == ["0", "1", "2", "3"] + ["one is gone"] * 2


def test_a_sink_that_raises_is_closed_and_the_others_lose_nothing() -> None:
    bench = HubBench()

    def fail(what: Encodable) -> None:
        if isinstance(what, Message):
            raise RuntimeError("a defect")

    _, before = bench.attach("before")
    session, faulty = bench.attach("faulty", sink=MemorySink(on_deliver=fail))
    _, after = bench.attach("after")
    bench.append(Entry(data="1", everyone=True))
    with pytest.raises(RuntimeError, match="a defect"):
        bench.tick()
    bench.append(Entry(data="2", everyone=True))
    bench.tick()
    assert before.data == after.data == ["1", "2"]
    assert faulty.close_codes == [codes.INTERNAL_ERROR]
    assert session not in bench.core.sessions
    assert bench.core.counters.deliveries == 4


def test_resuming_twice_before_a_flush_delivers_once() -> None:
    bench = HubBench()
    session, sink = bench.attach("alice")
    bench.send("alice", data="1")
    for _ in range(3):
        session.pause()
        bench.core.resume(session)
    assert len(bench.scheduled) == 1
    bench.tick()
    assert sink.data == ["1"]
