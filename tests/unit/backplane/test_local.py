"""backplane/local.py: positions that rise, reservation, and idempotency."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.fakes import UNIX_S, HubBench, run_now

from headrace.backplane.base import IDEMPOTENCY_S, Backplane
from headrace.backplane.idempotency import IdempotencyCache, digest_of
from headrace.backplane.local import RESERVED_MS, LocalBackplane
from headrace.errors import ConflictError, UnavailableError
from headrace.hub.snapshot import restore_snapshot, take_snapshot
from headrace.messages.entries import AnyEntry, Change, Entry, Join, Leave, Receipt, Revoke
from headrace.messages.position import Position

START_MS = int(UNIX_S * 1000)
ALICE = Entry(data="x", to=("alice",))


def append(bench: HubBench, entry: AnyEntry = ALICE, key: str | None = None) -> Receipt:
    return run_now(bench.backplane.append(entry, key))


def test_it_is_a_backplane() -> None:
    backplane: Backplane = HubBench().backplane  # checked by mypy
    for _ in range(2):
        run_now(backplane.close())


# --- positions -------------------------------------------------------------------------------


def test_a_position_is_the_time_in_milliseconds_and_a_counter() -> None:
    bench = HubBench()
    positions = []
    for seconds in (0, 0, 0.001, 0.0001, 5):
        bench.clock.advance(seconds)
        positions.append(append(bench).id)
    assert positions == [
        Position(START_MS, 1),  # after the position at which the history starts
        Position(START_MS, 2),
        Position(START_MS + 1, 0),
        Position(START_MS + 1, 1),
        Position(START_MS + 5001, 0),
    ]


@given(st.lists(st.floats(-4000, 4000), min_size=1, max_size=30))
def test_positions_rise_strictly_whatever_the_clock_does(steps: list[float]) -> None:
    bench = HubBench()
    positions = [bench.core.history.latest]
    for seconds in steps:
        bench.clock.unix_s += seconds
        positions.append(append(bench).id)
    assert positions == sorted(set(positions))


def test_a_clock_that_was_set_back_does_not_change_the_order_of_delivery() -> None:
    bench = HubBench()
    _, sink = bench.attach("alice")
    receipts: list[Position] = []
    for seconds in (0, 0, 5, -3600, 0, 1):
        bench.clock.unix_s += seconds
        receipts.append(bench.send("alice", data=str(len(receipts))).id)
    bench.tick()
    assert receipts == sorted(set(receipts))
    assert sink.data == list("012345")
    assert [message.position for message in sink.messages] == receipts


@pytest.mark.parametrize(
    "change", [Join("a", "g", UNIX_S), Leave("a", "g", UNIX_S), Revoke("a", UNIX_S)]
)
def test_changes_and_sends_have_positions_in_one_order(change: AnyEntry) -> None:
    bench = HubBench()
    positions = [append(bench, entry).id for entry in (ALICE, change, change, ALICE)]
    assert positions == [Position(START_MS, seq) for seq in (1, 2, 3, 4)]


def test_append_has_applied_the_entry_when_it_returns() -> None:
    bench = HubBench()
    session, _ = bench.attach("alice")
    receipt = append(bench)
    assert receipt == (bench.core.history.latest, 1)
    assert session.backlog == 1


def test_the_order_continues_after_a_restart_whatever_the_clock_says() -> None:
    before = HubBench()
    last = [append(before).id for _ in range(3)][-1]
    after = HubBench()
    after.clock.unix_s -= 3600
    restore_snapshot(after.core, take_snapshot(before.core), return_s=0)
    assert append(after).id == Position(last.ms, last.seq + 1)


# --- reservation -----------------------------------------------------------------------------


def reserving(bench: HubBench) -> list[int]:
    """Return the list of reservations that the bench's backplane makes from now on."""
    reserved: list[int] = []
    bench.backplane.restore((), reserved.append, record_nothing)
    return reserved


async def record_nothing(change: Change, position: Position) -> None:
    """A journal that stores nothing."""


def test_a_saved_state_makes_the_next_entry_reserve_again() -> None:
    bench = HubBench()
    reserved = reserving(bench)
    append(bench)
    bench.backplane.reserve_again()
    append(bench)
    append(bench)
    assert len(reserved) == 2


def test_a_change_is_recorded_after_it_was_applied_and_before_it_is_answered() -> None:
    bench = HubBench()
    recorded: list[tuple[Change, Position]] = []
    members: list[tuple[str, ...]] = []

    async def record(change: Change, position: Position) -> None:
        members.append(bench.core.subscriptions.memberships.groups_of("ada", (), None))
        recorded.append((change, position))

    bench.backplane.restore((), lambda until_ms: None, record)
    bench.send("ada", data="a send is not recorded")
    join = Join("ada", "lobby", 1.0)
    receipt = bench.append(join)
    assert recorded == [(join, receipt.id)]
    assert members == [("lobby",)]


def test_a_change_that_cannot_be_stored_raises() -> None:
    bench = HubBench()

    async def record(change: Change, position: Position) -> None:
        raise UnavailableError("the disk is full")

    bench.backplane.restore((), lambda until_ms: None, record)
    with pytest.raises(UnavailableError, match="the disk is full"):
        bench.append(Revoke("ada", 1.0))
    assert bench.core.revocations.entries()  # the tokens are revoked all the same


def test_positions_are_reserved_before_they_are_used() -> None:
    bench = HubBench()
    reserved: list[int] = []
    latest_then: list[Position] = []

    def reserve(until_ms: int) -> None:
        reserved.append(until_ms)
        latest_then.append(bench.core.history.latest)

    bench.backplane.restore((), reserve, record_nothing)
    before = bench.core.history.latest
    position = append(bench).id
    assert reserved == [position.ms + RESERVED_MS]
    assert latest_then == [before]


def test_a_reservation_is_made_at_most_once_in_its_length() -> None:
    bench = HubBench()
    reserved = reserving(bench)
    for milliseconds in range(3000):
        bench.clock.unix_s = UNIX_S + milliseconds / 1000
        append(bench)
        assert append(bench).id.ms <= reserved[-1]
    assert reserved == [START_MS + 1000, START_MS + 2001, START_MS + 3002]


def test_a_clock_that_was_set_back_reserves_nothing_again() -> None:
    bench = HubBench()
    reserved = reserving(bench)
    append(bench)
    bench.clock.unix_s -= 3600
    append(bench)
    assert len(reserved) == 1


def test_nothing_is_reserved_without_entries() -> None:
    bench = HubBench()
    reserved = reserving(bench)
    bench.clock.advance(100)
    assert reserved == []


# --- idempotency -----------------------------------------------------------------------------


def test_the_same_key_gives_the_first_receipt_and_appends_nothing() -> None:
    bench = HubBench()
    _, sink = bench.attach("alice")
    first = append(bench, key="k")
    assert append(bench, key="k") == first
    for other in (Entry(data="other", to=("alice",)), Entry(data="x", to=("bob",))):
        with pytest.raises(ConflictError):
            append(bench, other, "k")
    bench.tick()
    assert sink.data == ["x"]
    assert bench.core.counters.messages == 1


def test_if_no_more_keys_can_be_remembered_nothing_is_appended() -> None:
    bench = HubBench()
    bench.backplane._receipts = IdempotencyCache(max_keys=1)
    append(bench, key="k")
    latest = bench.core.history.latest
    with pytest.raises(UnavailableError):
        append(bench, key="l")
    assert bench.core.history.latest == latest
    assert append(bench).id > latest  # without a key


def test_other_keys_and_sends_without_a_key_are_appended() -> None:
    bench = HubBench()
    receipts = [append(bench, key=key) for key in ("a", "b", None, None)]
    assert len(set(receipts)) == 4


def test_a_key_is_remembered_by_the_monotonic_clock() -> None:
    bench = HubBench()
    first = append(bench, key="k")
    bench.clock.unix_s += 10 * IDEMPOTENCY_S
    bench.clock.monotonic_s += IDEMPOTENCY_S - 1
    assert append(bench, key="k") == first
    bench.clock.monotonic_s += 1
    assert append(bench, key="k") != first


def test_receipts_move_to_another_process() -> None:
    before, after = HubBench(), HubBench()
    known = append(before, key="k")
    append(before)
    before.clock.advance(100)
    second = append(before, key="l")
    saved = list(before.backplane.receipts())
    digest = digest_of(ALICE)
    assert saved == [("k", 200.0, known, digest), ("l", 300.0, second, digest)]
    after.clock.monotonic_s = 5.0
    after.backplane.restore(saved, lambda until_ms: None, record_nothing)
    assert append(after, key="k") == known
    assert list(after.backplane.receipts()) == saved
    after.clock.advance(200)
    assert append(after, key="k") != known
    assert append(after, key="l") == second


def test_a_keyed_send_is_refused_if_no_more_keys_can_be_remembered() -> None:
    """Otherwise the oldest key would be dropped, and a repeated send delivered twice."""
    bench = HubBench()
    bench.backplane._receipts = IdempotencyCache(max_keys=2)
    first = append(bench, key="a")
    append(bench, key="b")
    with pytest.raises(UnavailableError):
        append(bench, key="c")
    assert append(bench, key="a") == first
    append(bench)  # without a key
    assert bench.core.counters.messages == 3


def test_a_new_backplane_has_no_receipts() -> None:
    assert list(LocalBackplane(HubBench().core).receipts()) == []
