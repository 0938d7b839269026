"""headrace.webhooks.outbox: order, retries, outages, turns and the bound, all without a clock."""

from collections.abc import Iterator

import pytest
from tests.unit.outbox_bench import Bench

from headrace import limits
from headrace.webhooks.lanes import Turn

FIRST_S, MAX_S = limits.NOTICE_WAIT_FIRST_S, limits.NOTICE_WAIT_MAX_S


# --- order -------------------------------------------------------------------------------------


def test_clients_go_side_by_side_and_each_one_s_notices_in_order() -> None:
    bench = Bench()
    bench.come("a", "b")
    bench.go("a")
    a, b = bench.expect("a"), bench.expect("b")
    assert bench.next() is None
    bench.outbox.taken(b)
    assert bench.next() is None
    bench.outbox.taken(a)
    bench.outbox.taken(bench.expect("a", connected=False))
    assert bench.outbox.next_at(bench.now) is None
    assert len(bench.outbox) == 0


def test_a_client_s_later_notices_wait_behind_one_that_fails() -> None:
    bench = Bench()
    bench.come("a")
    bench.go("a")
    bench.fail(bench.expect("a"))
    bench.come("a", "b")
    bench.outbox.taken(bench.expect("b"))
    assert bench.take_all() == [("a", True), ("a", False), ("a", True)]


def test_the_same_notice_keeps_its_number() -> None:
    bench = Bench()
    bench.come("a")
    first = bench.expect("a")
    bench.fail(first)
    bench.wait()
    assert bench.expect("a").number == first.number


# --- waits -------------------------------------------------------------------------------------


def waits_of(bench: Bench, failures: int) -> Iterator[float]:
    for _ in range(failures):
        bench.fail(bench.expect("a"))
        yield bench.wait()


@pytest.mark.parametrize(("jitter", "part"), [(0.0, 0.5), (1.0, 1.0)])
def test_waits_double_up_to_a_limit_within_their_jitter(jitter: float, part: float) -> None:
    bench = Bench(jitter)
    bench.come("a")
    expected = [part * min(FIRST_S * 2**n, MAX_S) for n in range(40)]
    assert list(waits_of(bench, 40)) == pytest.approx(expected)


def test_no_wait_is_shorter_than_the_application_asks_for() -> None:
    bench = Bench()
    bench.come("a")
    bench.fail(bench.expect("a"), at_least_s=5.0)
    assert bench.wait() == 5.0
    bench.fail(bench.expect("a"), at_least_s=0.1)
    assert bench.wait() == 2 * FIRST_S


def test_after_a_success_the_waits_begin_anew() -> None:
    bench = Bench()
    bench.come("a")
    assert len(list(waits_of(bench, 5))) == 5
    bench.go("a")
    bench.outbox.taken(bench.expect("a"))
    bench.fail(bench.expect("a", connected=False))
    assert bench.wait() == FIRST_S


def test_one_client_s_fault_holds_up_nobody_else() -> None:
    bench = Bench()
    bench.come("bad")
    for _ in range(20):
        bench.fail(bench.expect("bad"))
        bench.come("good")
        bench.outbox.taken(bench.expect("good"))
        bench.wait()


def test_a_fault_of_one_client_s_own_is_not_tried_more_often_because_others_succeed() -> None:
    bench = Bench()
    bench.come("bad")
    bench.fail(bench.expect("bad"))
    tries = 0
    for number in range(1000):
        bench.come(f"good {number}")
        bench.now += 0.01
        for notice in list(iter(bench.next, None)):
            if notice.lane.client_id == "bad":
                tries += 1
                bench.fail(notice)
            else:
                bench.outbox.taken(notice)
    assert tries == 6  # in 10 s: at once, then after 0.25, 0.5, 1, 2 and 4 s


# --- outages -----------------------------------------------------------------------------------


def down(bench: Bench, clients: int) -> None:
    bench.come(*[str(number) for number in range(clients)])
    bench.fail_all()


def test_below_the_threshold_each_client_waits_for_itself() -> None:
    bench = Bench()
    down(bench, limits.OUTAGE_CLIENTS - 1)
    assert not bench.outbox.outage
    bench.come("new")
    bench.outbox.taken(bench.expect("new"))


def test_in_an_outage_one_notice_at_a_time_is_tried_at_growing_waits() -> None:
    bench = Bench()
    down(bench, 50)
    assert bench.outbox.outage
    bench.come("new")
    assert bench.next() is None
    waits = []
    tried = set()
    for _ in range(10):
        waits.append(bench.wait())
        notice = bench.next()
        assert notice is not None
        assert bench.next() is None
        assert bench.outbox.next_at(bench.now) is None
        tried.add(notice.lane.client_id)
        bench.fail(notice)
    expected = [min(FIRST_S * 2**n, limits.PROBE_WAIT_MAX_S) for n in range(10)]
    assert waits == pytest.approx(expected)
    assert len(tried) > 5  # not always the same: it might be the one that is at fault


def test_the_first_success_sets_all_going_at_once() -> None:
    bench = Bench()
    down(bench, 50)
    for _ in range(30):
        bench.wait()
        notice = bench.next()
        assert notice is not None
        bench.fail(notice)
    bench.wait()
    probe = bench.next()
    assert probe is not None
    bench.outbox.taken(probe)
    assert not bench.outbox.outage
    rest = list(iter(bench.next, None))
    assert len(rest) == 49
    assert len({notice.lane.client_id for notice in rest} | {probe.lane.client_id}) == 50


def test_a_probe_that_was_overtaken_by_a_success_stops_nobody() -> None:
    bench = Bench()
    down(bench, 5)
    bench.wait()
    probe = bench.next()
    assert probe is not None
    bench.outbox.succeeded()
    others = list(iter(bench.next, None))
    assert len(others) == 4
    bench.fail(probe)
    for notice in others:
        bench.outbox.taken(notice)
    assert len(bench.take_all()) == 1


def test_after_a_second_outage_too() -> None:
    bench = Bench()
    for _ in range(3):
        down(bench, 10)
        bench.wait()
        probe = bench.next()
        assert probe is not None
        bench.outbox.taken(probe)
        for notice in list(iter(bench.next, None)):
            bench.fail(notice)
    bench.outbox.succeeded()
    assert list(iter(bench.next, None))


def test_at_the_end_everything_is_tried_again_at_once() -> None:
    bench = Bench()
    down(bench, 10)
    bench.outbox.wake()
    assert len(list(iter(bench.next, None))) == 10


# --- turns -------------------------------------------------------------------------------------


class Decision:
    """What a turn was told."""

    def __init__(self, bench: Bench, client_id: str) -> None:
        self.told: list[bool] = []
        self.turn: Turn = bench.outbox.queue(client_id, self.told.append)


def test_a_turn_of_a_client_without_notices_comes_at_once_and_the_next_one_after_it() -> None:
    bench = Bench()
    first, second, other = Decision(bench, "a"), Decision(bench, "a"), Decision(bench, "b")
    assert (first.told, second.told, other.told) == ([True], [], [True])
    bench.outbox.done(first.turn)
    assert second.told == [True]


def test_a_turn_waits_for_the_notices_before_it_and_holds_up_those_behind() -> None:
    bench = Bench()
    bench.come("a")
    notice = bench.expect("a")
    message = Decision(bench, "a")
    bench.go("a")
    assert message.told == []
    bench.outbox.taken(notice)
    assert message.told == [True]
    assert bench.next() is None
    bench.outbox.done(message.turn)
    bench.outbox.taken(bench.expect("a", connected=False))


def test_a_turn_has_its_client_s_waiting_notice_tried_at_once_even_in_an_outage() -> None:
    bench = Bench()
    down(bench, 10)
    message = Decision(bench, "7")
    bench.outbox.taken(bench.expect("7"))
    assert message.told == [True]


def test_a_turn_is_refused_when_the_notice_before_it_fails() -> None:
    bench = Bench()
    bench.come("a")
    notice = bench.expect("a")
    first, second = Decision(bench, "a"), Decision(bench, "a")
    bench.fail(notice)
    assert (first.told, second.told) == ([False], [False])
    bench.outbox.done(first.turn)
    bench.outbox.done(second.turn)
    assert bench.take_all() == [("a", True)]


def test_a_turn_that_is_given_up_leaves_no_gap() -> None:
    bench = Bench()
    first, second, third = [Decision(bench, "a") for _ in range(3)]
    bench.outbox.done(second.turn)
    bench.outbox.done(second.turn)
    bench.outbox.done(first.turn)
    assert (second.told, third.told) == ([], [True])


# --- the bound ---------------------------------------------------------------------------------


def bound(monkeypatch: pytest.MonkeyPatch, count: int) -> Bench:
    monkeypatch.setattr(limits, "NOTICES_MAX_COUNT", count)
    return Bench()


def test_the_oldest_notice_that_has_a_newer_one_of_its_client_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = bound(monkeypatch, 4)
    bench.come("a", "b")
    bench.go("b", "a", "c")
    assert bench.outbox.dropped == 1  # a's connected, older than b's
    assert sorted(bench.take_all()) == [("a", False), ("b", False), ("b", True), ("c", False)]


def test_where_none_has_the_oldest_of_all_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bound(monkeypatch, 3)
    bench.come("a", "b", "c", "d", "e")
    assert bench.outbox.dropped == 2
    assert bench.take_all() == [("c", True), ("d", True), ("e", True)]


def test_what_is_under_way_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bound(monkeypatch, 2)
    bench.come("a")
    notice = bench.expect("a")
    bench.go("a")
    bench.come("a")
    assert bench.outbox.dropped == 1
    bench.outbox.taken(notice)
    assert bench.take_all() == [("a", True)]


def test_a_notice_whose_newer_one_was_dropped_is_a_final_state_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = bound(monkeypatch, 2)
    bench.come("a")
    notice = bench.expect("a")
    bench.go("a")
    bench.come("b")  # for which a's second is dropped: its first is under way
    bench.fail(notice)
    bench.go("b")  # for which b's first is dropped, for only b has a newer one
    assert sorted(bench.take_all()) == [("a", True), ("b", False)]
    assert bench.outbox.dropped == 2


def test_bytes_count_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NOTICES_MAX_BYTES", 2 * (limits.NOTICE_BYTES + 200))
    bench = Bench()
    bench.come("é" * 100, "b" * 200)
    assert bench.outbox.size_bytes == limits.NOTICES_MAX_BYTES
    bench.come("c")
    assert bench.outbox.dropped == 1
    assert bench.take_all() == [("b" * 200, True), ("c", True)]


def test_every_client_s_final_state_survives_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bound(monkeypatch, 20)
    down(bench, 10)
    for number in range(500):
        (bench.go if number // 10 % 2 == 0 else bench.come)(str(number % 10))
    assert bench.outbox.dropped == 490
    final = dict(bench.take_all())
    assert final == {str(number): True for number in range(10)}
