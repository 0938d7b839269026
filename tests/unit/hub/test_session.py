"""hub/session.py: the table of states, and what the sink gets when."""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from tests.helpers.fakes import MemorySink, claims_of, messages_of

from headrace.errors import StateError
from headrace.hub import session as session_module
from headrace.hub.replay import Replay
from headrace.hub.ring import RingBounds
from headrace.hub.session import PushResult, Session, SessionState
from headrace.messages.message import ControlMessage, Encodable, Message, MessageBatch
from headrace.messages.position import Position

BOUNDS = RingBounds(4, 100)
IDLE, QUEUED, FLUSHING = SessionState.IDLE, SessionState.QUEUED, SessionState.FLUSHING
PAUSED, CLOSED = SessionState.PAUSED, SessionState.CLOSED


def message(ms: int, size_bytes: int = 1) -> Message:
    return Message(Position(ms, 0), "x" * size_bytes)


def session_with(
    sink: MemorySink | None = None, *pushed: Message, missed: tuple[Message, ...] = ()
) -> Session:
    session = Session(claims_of("alice"), sink or MemorySink(), BOUNDS)
    session.start(Position(1, 0), Replay([list(missed)]))
    for each in pushed:
        session.push(each)
    return session


def flush(session: Session, batches: dict[tuple[Message, ...], MessageBatch] | None = None) -> int:
    return session.flush(5.0, {} if batches is None else batches)


def ids(sink: MemorySink) -> list[int]:
    return [each.position.ms for each in sink.messages]


# --- the table -------------------------------------------------------------------------------


def in_state(state: SessionState, *, waiting: bool) -> Session:
    session = session_with(None, *([message(2)] if waiting or state is QUEUED else []))
    if state is PAUSED:
        session.pause()
    elif state is CLOSED:
        session.close()
    assert session.state is state
    return session


def push(session: Session) -> object:
    return session.push(message(3))


def start(session: Session) -> None:
    session.start(Position(1, 0), Replay([[message(2)]]))


def start_with_nothing(session: Session) -> None:
    session.start(Position(1, 0), Replay([]))


TABLE: list[tuple[SessionState, bool, Callable[[Session], object], SessionState]] = [
    (IDLE, False, start, QUEUED),
    (IDLE, False, start_with_nothing, IDLE),
    (IDLE, False, push, QUEUED),
    (IDLE, False, flush, IDLE),
    (IDLE, False, Session.pause, PAUSED),
    (IDLE, False, Session.resume, IDLE),
    (IDLE, False, Session.close, CLOSED),
    (QUEUED, True, push, QUEUED),
    (QUEUED, True, flush, IDLE),
    (QUEUED, True, Session.pause, PAUSED),
    (QUEUED, True, Session.resume, QUEUED),
    (QUEUED, True, Session.close, CLOSED),
    (PAUSED, True, push, PAUSED),
    (PAUSED, True, flush, PAUSED),
    (PAUSED, True, Session.pause, PAUSED),
    (PAUSED, True, Session.resume, QUEUED),
    (PAUSED, False, Session.resume, IDLE),
    (PAUSED, True, Session.close, CLOSED),
    (CLOSED, False, push, CLOSED),
    (CLOSED, False, flush, CLOSED),
    (CLOSED, False, Session.pause, CLOSED),
    (CLOSED, False, Session.resume, CLOSED),
    (CLOSED, False, Session.close, CLOSED),
]


def row_name(row: tuple[SessionState, bool, Callable[[Session], object], SessionState]) -> str:
    before, waiting, transition, after = row
    waits = "with-backlog" if waiting else "empty"
    return f"{before.value}-{waits}-{transition.__name__}-{after.value}"


@pytest.mark.parametrize("row", TABLE, ids=map(row_name, TABLE))
def test_each_row_of_the_table(
    row: tuple[SessionState, bool, Callable[[Session], object], SessionState],
) -> None:
    before, waiting, transition, after = row
    session = in_state(before, waiting=waiting)
    transition(session)
    assert session.state is after


@pytest.mark.parametrize(
    ("transition", "then", "finally_"),
    [
        (push, QUEUED, QUEUED),
        (flush, FLUSHING, IDLE),
        (Session.resume, FLUSHING, IDLE),
        (Session.pause, PAUSED, PAUSED),
        (Session.close, CLOSED, CLOSED),
        (start, FLUSHING, IDLE),
    ],
)
def test_each_row_of_the_table_during_a_flush(
    transition: Callable[[Session], object], then: SessionState, finally_: SessionState
) -> None:
    states: list[SessionState] = []

    def act(what: Encodable) -> None:
        states.append(session.state)
        with suppress(StateError):
            transition(session)
        states.append(session.state)

    sink = MemorySink(on_deliver=act)
    session = session_with(sink, message(2), message(3))
    assert flush(session) == 2
    assert states == [FLUSHING, then]
    assert session.state is finally_
    assert ids(sink) == [2, 3]


@pytest.mark.parametrize("state", [QUEUED, PAUSED, CLOSED])
def test_a_session_starts_once(state: SessionState) -> None:
    with pytest.raises(StateError, match=f"starts once, while idle; this one is {state.value}"):
        start(in_state(state, waiting=False))


def test_resume_returns_whether_there_is_something_to_flush() -> None:
    assert in_state(PAUSED, waiting=True).resume()
    assert not in_state(PAUSED, waiting=False).resume()
    assert not in_state(QUEUED, waiting=True).resume()  # it is in the hub's list already
    assert not in_state(CLOSED, waiting=False).resume()


def test_the_result_of_a_push() -> None:
    session = session_with()
    assert [session.push(message(n)) for n in range(2, 7)] == [
        PushResult.FLUSH,
        PushResult.WAITS,
        PushResult.WAITS,
        PushResult.WAITS,
        PushResult.FULL,
    ]
    assert session.backlog == 4
    paused = in_state(PAUSED, waiting=False)
    assert paused.push(message(2)) is PushResult.WAITS


def test_a_closed_session_releases_its_messages_and_accepts_none() -> None:
    sink = MemorySink()
    session = session_with(sink, message(3), missed=(message(2),))
    session.close()
    assert session.backlog == 0
    assert session.push(message(4)) is PushResult.FULL
    assert session.push_dropping_oldest(message(5)) == 0
    assert session.backlog == 0
    assert flush(session) == 0
    assert not sink.delivered


# --- flushing --------------------------------------------------------------------------------


def test_one_message_is_delivered_itself_and_several_as_a_batch() -> None:
    sink = MemorySink()
    session = session_with(sink, first := message(2))
    assert flush(session) == 1
    assert sink.delivered == [first]
    for n in (3, 4):
        session.push(message(n))
    assert flush(session) == 2
    assert isinstance(sink.delivered[1], MessageBatch)
    assert ids(sink) == [2, 3, 4]
    assert session.position == Position(4, 0)


def test_the_sink_gets_the_time_of_the_flush() -> None:
    times = []

    class TimedSink(MemorySink):
        def deliver(self, what: Encodable, now: float) -> None:
            times.append(now)

    flush(session_with(TimedSink(), message(2)))
    assert times == [5.0]


def test_sessions_with_the_same_backlog_get_the_same_batch() -> None:
    backlog, batches = [message(2), message(3)], dict[tuple[Message, ...], MessageBatch]()
    sinks = [MemorySink() for _ in range(3)]
    for sink in sinks:
        flush(session_with(sink, *backlog), batches)
    flush(session_with(other := MemorySink(), *backlog, message(4)), batches)
    assert len({id(sink.delivered[0]) for sink in sinks}) == 1
    assert other.delivered[0] is not sinks[0].delivered[0]
    assert len(batches) == 2


def test_missed_messages_of_any_number_are_delivered_before_live_ones() -> None:
    sink = MemorySink()
    missed = tuple(message(n) for n in range(2, 50))  # many times the bounds of the ring
    session = session_with(sink, message(50), missed=missed)
    assert session.backlog == 49
    assert flush(session) == 49
    assert ids(sink) == list(range(2, 51))


def test_a_batch_is_bounded_but_has_at_least_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "FLUSH_MAX_BYTES", 10)
    sink = MemorySink()
    sizes = [6, 4, 1, 30, 2, 8, 3, 30]
    missed = [message(n, size) for n, size in enumerate(sizes, start=2)]
    live = [message(n, size) for n, size in enumerate([6, 4, 1, 30], start=10)]
    flush(session_with(sink, *live, missed=tuple(missed)))
    batches = [[m.size_bytes for m in messages_of(what)] for what in sink.delivered]
    assert batches == [[6, 4], [1], [30], [2, 8], [3], [30], [6, 4], [1], [30]]
    assert ids(sink) == list(range(2, 14))


def test_a_sink_that_pauses_in_deliver_gets_the_rest_after_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "FLUSH_MAX_BYTES", 1)
    sink = MemorySink(on_deliver=lambda what: session.pause())
    session = session_with(sink, message(4), missed=(message(2), message(3)))
    for handed in ([2], [2, 3], [2, 3, 4]):
        assert flush(session) == 1
        assert ids(sink) == handed
        assert session.position.ms == handed[-1]
        assert session.state is PAUSED
        assert flush(session) == 0
        session.resume()
    assert session.state is IDLE


def test_a_sink_that_closes_in_deliver_gets_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "FLUSH_MAX_BYTES", 1)
    sink = MemorySink(on_deliver=lambda what: session.close())
    session = session_with(sink, message(2), message(3))
    assert flush(session) == 1
    assert ids(sink) == [2]


def test_a_push_in_deliver_waits_for_the_next_flush() -> None:
    pushed: list[PushResult] = []

    def push_more(what: Encodable) -> None:
        if len(sink.delivered) < 3:
            pushed.append(session.push(message(2 + len(sink.delivered))))

    sink = MemorySink(on_deliver=push_more)
    session = session_with(sink, message(2))
    for count in (1, 2, 3):
        assert flush(session) == 1
        assert ids(sink) == list(range(2, 2 + count))
    assert pushed == [PushResult.FLUSH, PushResult.FLUSH]
    assert session.state is IDLE


# --- drop-oldest -----------------------------------------------------------------------------


def gaps(sink: MemorySink) -> list[tuple[str, str]]:
    return [(gap["after"], gap["before"]) for gap in sink.notices]


def test_a_gap_is_sent_in_place_of_dropped_messages() -> None:
    sink = MemorySink()
    session = session_with(sink, message(2))
    flush(session)
    for n in (3, 4, 5, 6):
        session.push(message(n))
    assert session.push(message(7)) is PushResult.FULL
    assert session.push_dropping_oldest(message(7)) == 1
    assert session.push_dropping_oldest(message(8)) == 1
    assert flush(session) == 4
    assert [type(what) for what in sink.delivered] == [Message, ControlMessage, MessageBatch]
    assert gaps(sink) == [("2-0", "5-0")]  # 3 and 4 are missing: after < missing < before
    assert ids(sink) == [2, 5, 6, 7, 8]


def test_a_gap_after_missed_messages_begins_at_the_last_of_them() -> None:
    sink = MemorySink()
    live = [message(n) for n in (4, 5, 6, 7)]
    session = session_with(sink, *live, missed=(message(2), message(3)))
    session.push_dropping_oldest(message(8))
    flush(session)
    assert [type(what) for what in sink.delivered] == [MessageBatch, ControlMessage, MessageBatch]
    assert gaps(sink) == [("3-0", "5-0")]
    assert ids(sink) == [2, 3, 5, 6, 7, 8]


def test_a_large_message_drops_as_many_as_needed_and_fits_alone() -> None:
    sink = MemorySink()
    session = session_with(sink, *[message(n, 25) for n in (2, 3, 4, 5)])
    assert session.push_dropping_oldest(message(6, 60)) == 3
    assert session.push_dropping_oldest(message(7, 1000)) == 2
    flush(session)
    assert gaps(sink) == [("1-0", "7-0")]
    assert ids(sink) == [7]


def test_a_sink_that_pauses_at_the_gap_gets_it_once() -> None:
    def pause_at_gap(what: Encodable) -> None:
        if isinstance(what, ControlMessage):
            session.pause()

    sink = MemorySink(on_deliver=pause_at_gap)
    session = session_with(sink, *[message(n) for n in (2, 3, 4, 5)])
    session.push_dropping_oldest(message(6))
    assert flush(session) == 0
    assert session.state is PAUSED
    session.resume()
    assert flush(session) == 4
    assert gaps(sink) == [("1-0", "3-0")]
    assert ids(sink) == [3, 4, 5, 6]


def test_a_drop_during_the_delivery_of_a_gap_sends_a_second_gap() -> None:
    pushes = iter([message(7)])
    sink = MemorySink(on_deliver=lambda what: [session.push_dropping_oldest(m) for m in pushes])
    session = session_with(sink, *[message(n) for n in (2, 3, 4, 5)])
    session.push_dropping_oldest(message(6))
    assert flush(session) == 4
    assert gaps(sink) == [("1-0", "3-0"), ("1-0", "4-0")]
    assert ids(sink) == [4, 5, 6, 7]


# --- the position to resume at --------------------------------------------------------------


def test_advance_to_moves_the_position_only_if_nothing_waits() -> None:
    session = session_with(None, message(2))
    session.advance_to(Position(9, 0))
    assert session.position == Position(1, 0)
    flush(session)
    assert session.position == Position(2, 0)
    session.advance_to(Position(9, 0))
    assert session.position == Position(9, 0)


def test_the_client_id_is_that_of_the_token() -> None:
    assert session_with().client_id == "alice"


def test_a_session_has_a_ring_only_while_several_messages_wait() -> None:
    session = session_with()
    owned = []
    for step in (
        lambda: None,
        partial(session.push, message(2)),
        partial(session.push, message(3)),
    ):
        step()
        owned.append(session._ring is not None)
    assert owned == [False, False, True]
    flush(session)
    assert (session._ring, session._single, session._replay) == (None, None, None)


def test_a_single_waiting_message_counts_for_the_bounds_and_may_be_dropped() -> None:
    sink = MemorySink()
    session = session_with(sink, message(2, 90))
    assert session.push(message(3, 20)) is PushResult.FULL
    assert session.backlog == 1
    assert session.push_dropping_oldest(message(3, 20)) == 1
    flush(session)
    assert gaps(sink) == [("1-0", "3-0")]
    assert ids(sink) == [3]


def test_a_delivered_message_is_released() -> None:
    sink = MemorySink()
    session = session_with(sink, first := message(2), missed=(missed := message(1),))
    alone = sys.getrefcount(message(3)) + 1  # and the name here
    flush(session)
    sink.delivered.clear()
    assert (sys.getrefcount(first), sys.getrefcount(missed)) == (alone, alone)
