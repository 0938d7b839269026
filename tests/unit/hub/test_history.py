"""hub/history.py, against a model that keeps every message."""

import gc
import sys
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.fakes import NaiveHistory, history_bytes, python_calls

from headrace.hub import history as history_module
from headrace.hub.history import EVERYONE, History, channel_key, group_key
from headrace.messages.message import Message
from headrace.messages.position import Position

START = Position(1000, 0)
NOW = 50.0  # monotonic
A, B, G = channel_key("a"), channel_key("b"), group_key("g")
ALL_KEYS = (EVERYONE, A, B, G)


def message(ms: int, seq: int = 0, data: str = "x") -> Message:
    return Message(Position(ms, seq), data)


def history_of(*sent: tuple[Message, tuple[str, ...]], max_bytes: int = 1 << 30) -> History:
    history = History(START, max_bytes=max_bytes, max_age_s=120)
    for each, keys in sent:
        history.append(each, keys)
    return history


def messages_after(history: History, keys: Iterable[str], after: Position) -> list[Message]:
    return list(history.messages_after(keys, after).take(1 << 30))


@pytest.fixture
def key_bound(monkeypatch: pytest.MonkeyPatch) -> int:
    """Limit each key to four entries."""
    monkeypatch.setattr(history_module, "KEY_MAX_MESSAGES", 4)
    return 4


appends = st.tuples(
    st.just("append"),
    st.integers(0, 3),  # milliseconds since the last
    st.integers(0, 2000),  # bytes
    st.lists(st.sampled_from(ALL_KEYS), min_size=1, unique=True),
)
expiries = st.tuples(
    st.just("expire"),
    st.integers(-500, 500),  # the Unix clock, in milliseconds after the newest id
    st.integers(0, 300),  # milliseconds since the last on the monotonic clock
    st.just([""]),
)


@settings(deadline=None)  # the model is slow
@given(
    st.lists(appends | expiries, max_size=60),
    st.integers(0, 12_000),
    st.sampled_from([0, 0.02, 0.5]),
    st.sampled_from([0, 1, 2, 3, 1000]),
    st.data(),
)
def test_any_operations_against_a_naive_history(
    steps: list[tuple[str, int, int, list[str]]],
    max_bytes: int,
    max_age_s: float,
    floors_max_keys: int,
    data: st.DataObject,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_module, "KEY_MAX_MESSAGES", 5)
        patch.setattr(history_module, "FLOORS_MAX_KEYS", floors_max_keys)
        history = History(START, max_bytes=max_bytes, max_age_s=max_age_s)
        naive = NaiveHistory(START, max_bytes, max_age_s, 5)
        place, now = START, NOW
        for what, delay_ms, size_bytes, keys in steps:
            if what == "append":
                place = Position(place.ms + delay_ms, 0 if delay_ms else place.seq + 1)
                sent = Message(place, "x" * size_bytes)
                history.append(sent, tuple(keys))
                naive.append(sent, tuple(keys))
            else:
                now += size_bytes / 1000
                history.expire(place.ms + delay_ms, now)
                naive.expire(place.ms + delay_ms, now)
            assert (history.floor, history.latest) == (naive.floor, naive.latest)
            assert (len(history), history.size_bytes) == (len(naive.kept), naive.size_bytes)

        places = [sent.position for sent, _ in naive.everything]
        odd = [Position(0, 0), START, Position(place.ms, place.seq + 1), Position(place.ms + 1, 0)]
        for after in {*places, *odd}:
            keys = data.draw(st.lists(st.sampled_from(ALL_KEYS), unique=True))
            assert messages_after(history, keys, after) == naive.messages_after(keys, after)
            assert history.floor_of(keys) == naive.floor_of(keys)
            if history.covers(keys, after):
                assert not naive.lost(keys, after)
            else:  # something was lost, or the floor that would show otherwise was dropped
                beyond = not naive.floor <= after <= naive.latest
                assert beyond or naive.lost(keys, after)


def test_messages_after_an_id_are_in_order_and_each_once() -> None:
    first, second, third = message(1001), message(1001, 1), message(1002)
    history = history_of((first, (A, B)), (second, (G,)), (third, (EVERYONE,)))
    assert messages_after(history, [EVERYONE, A, B, G], START) == [first, second, third]
    assert messages_after(history, [A, G, G, A], START) == [first, second]
    assert messages_after(history, [A, EVERYONE], first.position) == [third]
    assert messages_after(history, [A], third.position) == []
    assert messages_after(history, [channel_key("nobody")], START) == []
    assert messages_after(history, [], START) == []


def test_channels_and_groups_with_the_same_name_have_different_keys() -> None:
    keys = {channel_key("*"), group_key("*"), EVERYONE, channel_key("#*"), group_key("@*")}
    assert len(keys) == 5


def test_a_new_history_covers_its_start_and_nothing_else() -> None:
    history = history_of()
    assert (history.floor, history.latest, history.size_bytes) == (START, START, 0)
    assert history.covers([A], START)
    assert not history.covers([A], Position(999, 5))
    assert not history.covers([A], Position(1000, 1))


def test_an_id_after_the_latest_is_not_covered() -> None:
    history = history_of((message(1001), (A,)))
    assert history.covers([A], Position(1001, 0))
    assert not history.covers([A], Position(1001, 1))


def test_the_floor_of_a_key_is_the_last_id_evicted_under_it() -> None:
    history = history_of(*[(message(n), (A,)) for n in (1001, 1002, 1003)])
    assert history.floor_of([A]) == START
    history.expire(1003 + 120_000 - 1, NOW)
    assert history.floor_of([A]) == Position(1001, 0)
    assert history.covers([A], Position(1001, 0))
    assert not history.covers([A], Position(1000, 9))
    assert [m.position.ms for m in messages_after(history, [A], START)] == [1002, 1003]


def test_messages_that_other_keys_lost_are_no_loss() -> None:
    history = history_of((message(1001), (A,)), (message(1002), (B, G)), (message(1003), (A,)))
    history.expire(10**9, NOW)
    assert len(history) == 0
    assert history.covers([channel_key("quiet"), EVERYONE], START)
    assert history.floor_of([B]) == history.floor_of([G, B, EVERYONE]) == Position(1002, 0)
    assert history.floor_of([A, B]) == Position(1003, 0)


def test_the_number_of_floors_is_bounded_and_the_oldest_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "FLOORS_MAX_KEYS", 2)
    history = history_of((message(1001), (A,)), (message(1002), (B,)), (message(1003), (A,)))
    history.expire(10**9, NOW)
    assert history.floors() == {B: Position(1002, 0), A: Position(1003, 0)}
    assert history.covers([G], START)
    history.append(message(1004), (EVERYONE,))
    history.expire(10**9, NOW)
    assert list(history.floors()) == [A, EVERYONE]
    assert history.floor_of([G]) == history.floor_of([B]) == Position(1002, 0)
    assert history.floor_of([A]) == Position(1003, 0)


def test_a_history_resumes_at_the_floors_of_an_earlier_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "KEY_MAX_MESSAGES", 2)
    before = history_of(*[(message(n), (A if n % 2 else B, G)) for n in range(1001, 1011)])
    before.expire(1004 + 120_000, NOW)
    after = History(Position(2000, 0), max_bytes=1 << 30, max_age_s=120)
    after.resume_at(before.floor, before.floors())
    for sent, keys in before.entries():
        after.append(sent, keys)
    after.resume_key_floors(before.key_floors())
    assert list(after.entries()) == list(before.entries())
    for key in ALL_KEYS:
        assert after.floor_of([key]) == before.floor_of([key])
        assert messages_after(after, [key], START) == messages_after(before, [key], START)
    assert before.floor_of([G]) == Position(1008, 0)  # evicted by the key's own bound


def test_resuming_with_more_floors_than_the_bound_drops_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "FLOORS_MAX_KEYS", 1)
    history = history_of()
    history.resume_at(START, {A: Position(1001, 0), B: Position(1002, 0)})
    assert history.floor_of([A]) == history.floor_of([EVERYONE]) == Position(1001, 0)
    assert history.floor_of([B]) == Position(1002, 0)


def test_the_maximum_age_is_inclusive() -> None:
    history = history_of((message(1001), (A,)))
    history.expire(1001 + 120_000, NOW)
    assert len(history) == 1
    history.expire(1001 + 120_001, NOW)
    assert len(history) == 0


def test_the_byte_bound_is_inclusive_and_includes_the_overhead_of_entries() -> None:
    two = [(message(ms, data="x" * 10), (A,)) for ms in (1001, 1002)]
    third = (message(1003), (A,))
    history = history_of(*two, third, max_bytes=history_bytes(*two))
    assert [m.position.ms for m in messages_after(history, [A], START)] == [1002, 1003]
    assert history.size_bytes == history_bytes(two[1], third)
    assert history.floors_bytes == 0  # the key dropped its oldest, and its log has the floor
    assert len(history_of(*two, max_bytes=history_bytes(*two))) == 2
    assert len(history_of(*two, max_bytes=history_bytes(*two) - 1)) == 1


def test_every_key_of_an_entry_counts() -> None:
    """Otherwise a list of 3,000 client IDs would take a megabyte and count as a kilobyte."""
    entry = (message(1001), tuple(channel_key(str(n)) for n in range(3000)))
    history = history_of(entry)
    assert history.size_bytes == history_bytes(entry) > 3000 * 200
    history.expire(10**9, NOW)
    assert history.size_bytes == 0
    assert history.floors_bytes == 3000 * history_module.FLOOR_BYTES


def test_floors_take_at_most_their_share_of_the_byte_bound() -> None:
    max_bytes = 100_000
    history = history_of(max_bytes=max_bytes)
    for n in range(1000):
        history.append(message(1001 + n), (channel_key(str(n)),))
        assert history.size_bytes + history.floors_bytes <= max_bytes
    share_bytes = max_bytes // history_module.FLOORS_SHARE
    assert 0 <= share_bytes - history.floors_bytes < history_module.FLOOR_BYTES
    assert history.size_bytes > max_bytes / 2
    assert START < history.floor < history.floor_of(history.floors())


def test_appending_costs_two_python_calls() -> None:
    history = history_of()
    sent = [message(1001 + n, data="x" * 128) for n in range(2)]
    for each in sent:  # with a new key, then with a known one
        assert python_calls(lambda each=each: history.append(each, (A,))) == 2  # type: ignore[misc]  # a default binds it


def test_the_counted_size_of_the_floors_is_their_memory() -> None:
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        history = history_of(max_bytes=4 * 3000 * history_module.FLOOR_BYTES)
        for n in range(20_000):
            history.resume_at(START, {channel_key(f"client-{n:06}"): Position(10**12 + n, 0)})
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(history.floors()) == 3000
    assert history.floors_bytes == pytest.approx(after - before, rel=0.2)


def test_a_history_of_no_bytes_keeps_nothing_but_knows_what_was_lost() -> None:
    history = history_of((message(1001), (A,)), max_bytes=0)
    assert len(history) == 0
    assert not history.covers([A], START)
    assert history.covers([A], Position(1001, 0))


def test_the_bound_of_one_key_does_not_affect_other_keys(key_bound: int) -> None:
    flood = [(message(1001 + n), (G,)) for n in range(key_bound + 1)]
    history = history_of((quiet := message(1000, 1), (A,)), *flood)
    assert history.floor_of([A]) == START
    assert history.covers([A], START)
    assert messages_after(history, [A], START) == [quiet]
    assert not history.covers([A, G], START)
    assert history.covers([G], Position(1001, 0))
    assert len(messages_after(history, [G], START)) == key_bound


def test_after_the_bound_of_a_key_the_bounds_of_all_still_apply(key_bound: int) -> None:
    history = history_of(*[(message(1001 + n), (G,)) for n in range(key_bound + 3)])
    history.expire(1001 + key_bound + 120_001, NOW)  # all but two
    assert [m.position.ms for m in messages_after(history, [G], START)] == [1005 + 1, 1005 + 2]
    history.expire(10**9, NOW)
    assert messages_after(history, [G], START) == []
    assert history._logs == {}
    assert history.floor_of([G]) == history.latest
    assert history.covers([G], history.latest)


def test_an_evicted_message_is_released_at_once() -> None:
    history = history_of(*[(message(1001 + n), (A,)) for n in range(100)])
    oldest = messages_after(history, [A], START)[0]
    references = sys.getrefcount(oldest)
    history.expire(1001 + 120_001, NOW)
    assert history.floor_of([A]) == oldest.position
    assert sys.getrefcount(oldest) == references - 1


def test_a_key_that_is_never_empty_does_not_grow() -> None:
    ten = [(message(ms), (EVERYONE,)) for ms in range(10)]
    history = history_of(max_bytes=history_bytes(*ten))
    for ms in range(1001, 3000):
        history.append(message(ms), (EVERYONE,))
    assert len(history) == 10
    assert len(history._logs[EVERYONE].entries) <= 21


# --- the share of a key ----------------------------------------------------------------------


def flood(history: History, keys: tuple[str, ...], count: int, size_bytes: int = 1000) -> None:
    for _ in range(count):
        latest = history.latest
        history.append(Message(Position(latest.ms + 1, 0), "x" * size_bytes), keys)


def test_a_flood_in_one_group_evicts_its_own_messages_only() -> None:
    """A client that may send to one group must not evict the messages of all others."""
    history = history_of(max_bytes=200_000)
    quiet = [channel_key(str(number)) for number in range(20)]
    for key in quiet:
        flood(history, (key,), 1)
    flood(history, (G,), 2000)
    assert history.covers(quiet, START)
    assert len(history.messages_after(quiet, START)) == 20
    assert not history.covers([G], START)
    assert history.covers([G], history.floor_of([G]))
    assert history.size_bytes <= 200_000


def test_while_there_is_room_one_key_may_use_the_whole_history() -> None:
    history = history_of(max_bytes=200_000)
    flood(history, (G,), 2000)
    assert history.size_bytes > 190_000


def test_the_largest_key_drops_its_messages_first() -> None:
    history = history_of(max_bytes=200_000)
    flood(history, (G,), 40)
    flood(history, (A,), 1000)
    sizes = [len(history.messages_after([key], START)) for key in (G, A)]
    assert sum(sizes) > 60
    assert abs(sizes[0] - sizes[1]) <= 1


def test_without_a_key_over_its_share_the_oldest_message_of_all_is_evicted() -> None:
    history = history_of(max_bytes=200_000)
    keys = [channel_key(str(number)) for number in range(3 * history_module.KEY_SHARE)]
    for _ in range(10):
        for key in keys:
            flood(history, (key,), 1)
    kept = [sent.position.ms for sent, _ in history.entries()]
    assert kept == list(range(kept[0], history.latest.ms + 1))
    assert kept[0] > 1001


def test_a_single_message_may_be_larger_than_the_share_of_its_key() -> None:
    history = history_of(max_bytes=100_000)
    flood(history, (A,), 1, size_bytes=30_000)
    flood(history, (G,), 100)
    assert len(history.messages_after([A], START)) == 1


def test_an_entry_is_freed_when_the_last_of_its_keys_has_dropped_it(key_bound: int) -> None:
    shared = message(1001)
    history = history_of((shared, (A, B)))
    flood(history, (A,), key_bound)
    assert history.floor_of([A]) == shared.position
    assert history.floor_of([B]) == START
    assert messages_after(history, [B], START) == [shared]
    assert [keys for _, keys in history.entries()] == [(B,), *[(A,)] * key_bound]
    references = sys.getrefcount(shared)
    flood(history, (B,), key_bound)
    assert sys.getrefcount(shared) == references - 1
    assert len(history) == 2 * key_bound
    assert history.size_bytes == history_bytes(*history.entries())
    assert history.floor_of([B]) == shared.position


def test_empty_entries_do_not_accumulate_in_the_log(key_bound: int) -> None:
    history = history_of((message(1001), (A,)))
    flood(history, (G,), 1000)
    assert len(history) == 1 + key_bound
    assert len(history._log) <= 2 * len(history) + 1
    history.expire(10**9, NOW)
    assert (len(history), len(history._log), history.size_bytes) == (0, 0, 0)


def test_a_replay_stays_complete_while_the_history_evicts() -> None:
    history = history_of(*[(message(1001 + n), (G,)) for n in range(50)])
    replay = history.messages_after([G, A], START)
    history.expire(10**9, NOW)
    assert len(history) == 0
    assert [sent.position.ms for sent in replay.take(1 << 30)] == list(range(1001, 1051))


# --- a clock that was set back ---------------------------------------------------------------


def test_messages_with_ids_in_the_future_expire_after_they_were_appended() -> None:
    """The clock was a year ahead when they were sent."""
    ahead_ms = 365 * 86_400_000
    history = history_of((message(ahead_ms), (A,)))
    history.expire(1000, NOW)
    history.append(message(ahead_ms, 1), (A,))
    history.expire(61_000, NOW + 60)
    history.expire(121_000, NOW + 120)
    assert len(history) == 2
    history.expire(121_250, NOW + 120.25)
    assert [m.position.seq for m in messages_after(history, [A], START)] == [1]
    assert history.floor_of([A]) == Position(ahead_ms, 0)
    history.expire(181_250, NOW + 180.25)
    assert len(history) == 0


def test_the_times_of_appending_take_bounded_memory() -> None:
    history = history_of()
    for number in range(5000):
        flood(history, (A,), 1, size_bytes=1)
        history.expire(history.latest.ms, NOW + number * 0.02)
    assert len(history._arrivals) <= history_module.ARRIVALS_MAX_COUNT + 1
