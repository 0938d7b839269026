"""headrace.history, with a list of everything ever sent as model."""

import gc
import sys
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.fakes import NaiveHistory, history_bytes

from headrace import limits
from headrace.entries import Entry
from headrace.history import EVERYONE, History, channel_key, group_key
from headrace.message import Form, Message
from headrace.position import Position
from headrace.roster import Roster

START = Position(1000, 0)
A, B, G = channel_key("a"), channel_key("b"), group_key("g")
ALL_KEYS = (EVERYONE, A, B, G)


def message(ms: int, seq: int = 0, data: str = "x") -> Message:
    return Message(Position(ms, seq), data)


def history_of(*sent: tuple[Message, tuple[str, ...]], max_bytes: int = 1 << 30) -> History:
    history = History(START, max_bytes=max_bytes, max_age_s=120)
    for each, keys in sent:
        history.append(each, keys)
    return history


@pytest.fixture
def key_bound(monkeypatch: pytest.MonkeyPatch) -> int:
    """Each key may have four entries."""
    monkeypatch.setattr(limits, "HISTORY_KEY_MAX_MESSAGES", 4)
    return 4


appends = st.tuples(
    st.just("append"),
    st.integers(0, 3),  # milliseconds since the last
    st.integers(0, 2000),  # bytes
    st.lists(st.sampled_from(ALL_KEYS), min_size=1, unique=True),
)
expiries = st.tuples(st.just("expire"), st.integers(0, 500), st.just(0), st.just([""]))


@settings(deadline=None)  # the naive one takes its time
@given(
    st.lists(appends | expiries, max_size=60),
    st.integers(0, 12_000),
    st.sampled_from([0, 0.02, 0.5]),
    st.sampled_from([0, 1, 2, 3, 1000]),
    st.data(),
)
def test_it_gives_what_a_naive_history_gives(
    steps: list[tuple[str, int, int, list[str]]],
    max_bytes: int,
    max_age_s: float,
    floors_max_keys: int,
    data: st.DataObject,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "HISTORY_KEY_MAX_MESSAGES", 5)
        patch.setattr(limits, "HISTORY_FLOORS_MAX_KEYS", floors_max_keys)
        history = History(START, max_bytes=max_bytes, max_age_s=max_age_s)
        naive = NaiveHistory(START, max_bytes, max_age_s, 5)
        place = START
        for what, delay_ms, size_bytes, keys in steps:
            if what == "append":
                place = Position(place.ms + delay_ms, 0 if delay_ms else place.seq + 1)
                sent = Message(place, "x" * size_bytes)
                history.append(sent, tuple(keys))
                naive.append(sent, tuple(keys))
            else:
                history.expire(place.ms + delay_ms)
                naive.expire(place.ms + delay_ms)
            assert (history.floor, history.latest) == (naive.floor, naive.latest)
            assert (len(history), history.size_bytes) == (len(naive.kept), naive.size_bytes)

        places = [sent.position for sent, _ in naive.everything]
        odd = [Position(0, 0), START, Position(place.ms, place.seq + 1), Position(place.ms + 1, 0)]
        for after in {*places, *odd}:
            keys = data.draw(st.lists(st.sampled_from(ALL_KEYS), unique=True))
            assert history.since(keys, after) == naive.since(keys, after)
            assert history.floor_of(keys) == naive.floor_of(keys)
            if history.covers(keys, after):
                assert not naive.lost(keys, after)
            else:  # honest, and not more pessimistic than what it had to forget
                beyond = not naive.floor <= after <= naive.latest
                assert beyond or naive.lost(keys, after)


def test_since_gives_what_came_after_an_id_in_order_each_once() -> None:
    first, second, third = message(1001), message(1001, 1), message(1002)
    history = history_of((first, (A, B)), (second, (G,)), (third, (EVERYONE,)))
    assert history.since([EVERYONE, A, B, G], START) == [first, second, third]
    assert history.since([A, G, G, A], START) == [first, second]
    assert history.since([A, EVERYONE], first.position) == [third]
    assert history.since([A], third.position) == []
    assert history.since([channel_key("nobody")], START) == []
    assert history.since([], START) == []


def test_names_of_different_kinds_are_different_keys() -> None:
    keys = {channel_key("*"), group_key("*"), EVERYONE, channel_key("#*"), group_key("@*")}
    assert len(keys) == 5


def test_a_fresh_history_covers_its_start_and_nothing_else() -> None:
    history = history_of()
    assert (history.floor, history.latest, history.size_bytes) == (START, START, 0)
    assert history.covers([A], START)
    assert not history.covers([A], Position(999, 5))
    assert not history.covers([A], Position(1000, 1))


def test_an_id_beyond_the_latest_is_of_another_order() -> None:
    history = history_of((message(1001), (A,)))
    assert history.covers([A], Position(1001, 0))
    assert not history.covers([A], Position(1001, 1))


def test_a_key_s_floor_is_the_id_last_evicted_under_it() -> None:
    history = history_of(*[(message(n), (A,)) for n in (1001, 1002, 1003)])
    assert history.floor_of([A]) == START
    history.expire(1003 + 120_000 - 1)
    assert history.floor_of([A]) == Position(1001, 0)
    assert history.covers([A], Position(1001, 0))
    assert not history.covers([A], Position(1000, 9))
    assert [m.position.ms for m in history.since([A], START)] == [1002, 1003]


def test_what_others_lost_is_no_loss() -> None:
    history = history_of((message(1001), (A,)), (message(1002), (B, G)), (message(1003), (A,)))
    history.expire(10**9)
    assert len(history) == 0
    assert history.covers([channel_key("quiet"), EVERYONE], START)
    assert history.floor_of([B]) == history.floor_of([G, B, EVERYONE]) == Position(1002, 0)
    assert history.floor_of([A, B]) == Position(1003, 0)


def test_the_floors_are_bounded_and_the_oldest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "HISTORY_FLOORS_MAX_KEYS", 2)
    history = history_of((message(1001), (A,)), (message(1002), (B,)), (message(1003), (A,)))
    history.expire(10**9)
    assert history.floors() == {B: Position(1002, 0), A: Position(1003, 0)}
    assert history.covers([G], START)
    history.append(message(1004), (EVERYONE,))
    history.expire(10**9)
    assert list(history.floors()) == [A, EVERYONE]
    assert history.floor_of([G]) == history.floor_of([B]) == Position(1002, 0)
    assert history.floor_of([A]) == Position(1003, 0)


def test_another_process_s_floors_are_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HISTORY_KEY_MAX_MESSAGES", 2)
    before = history_of(*[(message(n), (A if n % 2 else B, G)) for n in range(1001, 1011)])
    before.expire(1004 + 120_000)
    after = History(Position(2000, 0), max_bytes=1 << 30, max_age_s=120)
    after.begin(before.floor, before.floors())
    for sent, keys in before.entries():
        after.append(sent, keys)
    for key in ALL_KEYS:
        assert after.floor_of([key]) == before.floor_of([key])
        assert after.since([key], START) == before.since([key], START)
    assert before.floor_of([G]) == Position(1008, 0)  # to its own bound


def test_more_floors_than_may_be_kept_are_taken_up_honestly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "HISTORY_FLOORS_MAX_KEYS", 1)
    history = history_of()
    history.begin(START, {A: Position(1001, 0), B: Position(1002, 0)})
    assert history.floor_of([A]) == history.floor_of([EVERYONE]) == Position(1001, 0)
    assert history.floor_of([B]) == Position(1002, 0)


def test_the_greatest_age_is_inclusive() -> None:
    history = history_of((message(1001), (A,)))
    history.expire(1001 + 120_000)
    assert len(history) == 1
    history.expire(1001 + 120_001)
    assert len(history) == 0


def test_the_byte_bound_is_inclusive_and_counts_what_an_entry_costs() -> None:
    two = [(message(ms, data="x" * 10), (A,)) for ms in (1001, 1002)]
    third = (message(1003), (A,))
    history = history_of(*two, third, max_bytes=history_bytes(*two, floors=1))
    assert [m.position.ms for m in history.since([A], START)] == [1002, 1003]
    assert history.size_bytes == history_bytes(two[1], third)
    assert history.floors_bytes == limits.HISTORY_FLOOR_BYTES
    assert len(history_of(*two, max_bytes=history_bytes(*two))) == 2
    assert len(history_of(*two, max_bytes=history_bytes(*two) - 1)) == 1


def test_each_further_key_of_an_entry_counts() -> None:
    """Or a list of 3,000 client IDs would cost nearly a megabyte and count as a kilobyte."""
    entry = (message(1001), tuple(channel_key(str(n)) for n in range(3000)))
    history = history_of(entry)
    assert history.size_bytes == history_bytes(entry) > 3000 * 200
    history.expire(10**9)
    assert history.size_bytes == 0
    assert history.floors_bytes == 3000 * limits.HISTORY_FLOOR_BYTES


def test_the_floors_take_no_more_than_their_share() -> None:
    max_bytes = 100_000
    history = history_of(max_bytes=max_bytes)
    for n in range(1000):
        history.append(message(1001 + n), (channel_key(str(n)),))
        assert history.size_bytes + history.floors_bytes <= max_bytes
    share_bytes = max_bytes // limits.HISTORY_FLOORS_SHARE
    assert 0 <= share_bytes - history.floors_bytes < limits.HISTORY_FLOOR_BYTES
    assert history.size_bytes > max_bytes / 2
    assert START < history.floor < history.floor_of(history.floors())


DATA = {
    "ASCII": "x",
    "Latin-1": "\xe9",
    "two bytes wide": "\u597d",
    "four bytes wide": "\U0001f600",
    "one wide character": "\U0001f600" + "x" * 29_999,
    "to be escaped": '"',
    "to be escaped in six": "\x01",
}
TARGETS: dict[str, Callable[[int], Entry]] = {
    "a channel each": lambda n: Entry(data="", to=(f"client-{n:06}",)),
    "few channels": lambda n: Entry(data="", to=(f"client-{n % 50:06}",)),
    "lists": lambda n: Entry(data="", to=tuple(f"client-{n:06}-{i:02}" for i in range(40))),
    "a group": lambda n: Entry(data="", group=f"lobby-{n // 10**6}"),
    "everyone": lambda n: Entry(data="", everyone=True),
}


def real_bytes(target: Callable[[int], Entry], data: str, count: int) -> tuple[int, int]:
    """What so many entries are counted, and what they take, as a server makes them."""
    body = msgspec.json.encode(data)
    audience = Roster().audience
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        history = history_of()
        for n in range(count):
            entry = target(n)
            decoded = msgspec.json.decode(body, type=str)
            sent = Message(Position(10**12 + n, 0), decoded, entry.group)
            history.append(sent, audience(entry)[1])
            sent.encoded(Form.V1)
            del sent, entry, decoded
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return history.size_bytes, after - before


@pytest.mark.parametrize("size_characters", [16, 1000, 30_000])
@pytest.mark.parametrize("kind", DATA)
def test_what_is_counted_is_what_one_encoding_and_the_data_take(
    kind: str, size_characters: int
) -> None:
    data = (DATA[kind] * (size_characters // len(DATA[kind]) + 1))[:size_characters]
    count = 2000 if size_characters == 16 else 200
    counted, real = real_bytes(TARGETS["a channel each"], data, count)
    assert counted == pytest.approx(real, rel=0.15)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_counted_for_the_index_is_what_it_takes(target: str) -> None:
    counted, real = real_bytes(TARGETS[target], "x" * 16, 2000 if target != "lists" else 100)
    assert counted == pytest.approx(real, rel=0.25)  # the index's table is more full, or less


def test_what_is_counted_for_floors_is_what_they_take() -> None:
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        history = history_of(max_bytes=4 * 3000 * limits.HISTORY_FLOOR_BYTES)
        for n in range(20_000):
            history.begin(START, {channel_key(f"client-{n:06}"): Position(10**12 + n, 0)})
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(history.floors()) == 3000
    assert history.floors_bytes == pytest.approx(after - before, rel=0.2)


def test_a_history_of_no_bytes_keeps_nothing_and_still_tells_what_was_lost() -> None:
    history = history_of((message(1001), (A,)), max_bytes=0)
    assert len(history) == 0
    assert not history.covers([A], START)
    assert history.covers([A], Position(1001, 0))


def test_a_key_s_own_bound_costs_nobody_else_anything(key_bound: int) -> None:
    flood = [(message(1001 + n), (G,)) for n in range(key_bound + 1)]
    history = history_of((quiet := message(1000, 1), (A,)), *flood)
    assert history.floor_of([A]) == START
    assert history.covers([A], START)
    assert history.since([A], START) == [quiet]
    assert not history.covers([A, G], START)
    assert history.covers([G], Position(1001, 0))
    assert len(history.since([G], START)) == key_bound


def test_after_a_key_s_own_bound_the_common_ones_go_on(key_bound: int) -> None:
    history = history_of(*[(message(1001 + n), (G,)) for n in range(key_bound + 3)])
    history.expire(1001 + key_bound + 120_001)  # all but two
    assert [m.position.ms for m in history.since([G], START)] == [1005 + 1, 1005 + 2]
    history.expire(10**9)
    assert history.since([G], START) == []
    assert history._logs == {}
    assert history.floor_of([G]) == history.latest
    assert history.covers([G], history.latest)


def test_an_evicted_message_is_let_go_of_at_once() -> None:
    history = history_of(*[(message(1001 + n), (A,)) for n in range(100)])
    oldest = history.since([A], START)[0]
    references = sys.getrefcount(oldest)
    history.expire(1001 + 120_001)
    assert history.floor_of([A]) == oldest.position
    assert sys.getrefcount(oldest) == references - 2  # the log's and the key's


def test_a_long_lived_key_does_not_grow() -> None:
    ten = [(message(ms), (EVERYONE,)) for ms in range(10)]
    history = history_of(max_bytes=history_bytes(*ten, floors=1))
    for ms in range(1001, 3000):
        history.append(message(ms), (EVERYONE,))
    assert len(history) == 10
    assert len(history._logs[EVERYONE].messages) <= 21
