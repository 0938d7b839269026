"""PendingNotices: which notices are dropped if there are too many."""

import pytest
from tests.helpers.outbox_bench import OutboxBench

from headrace.hooks import pending_notices
from headrace.hooks.client_queue import NOTICE_OVERHEAD_BYTES


def bench_with_limit(monkeypatch: pytest.MonkeyPatch, count: int) -> OutboxBench:
    monkeypatch.setattr(pending_notices, "NOTICES_MAX_COUNT", count)
    return OutboxBench()


def test_the_oldest_superseded_notice_is_dropped_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = bench_with_limit(monkeypatch, 4)
    bench.connected("a", "b")
    bench.disconnected("b", "a", "c")
    assert bench.overflowed == 1  # the first one of a, which is older than that of b
    assert sorted(bench.deliver_all()) == [("a", False), ("b", False), ("b", True), ("c", False)]


def test_if_none_is_superseded_the_oldest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_with_limit(monkeypatch, 3)
    bench.connected("a", "b", "c", "d", "e")
    assert bench.overflowed == 2
    assert bench.deliver_all() == [("c", True), ("d", True), ("e", True)]


def test_a_notice_in_flight_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_with_limit(monkeypatch, 2)
    bench.connected("a")
    notice = bench.expect("a")
    bench.disconnected("a")
    bench.connected("a")
    assert bench.overflowed == 1
    bench.outbox.delivered(notice)
    assert bench.deliver_all() == [("a", True)]


def test_a_notice_in_flight_is_the_newest_again_if_its_successor_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = bench_with_limit(monkeypatch, 2)
    bench.connected("a")
    notice = bench.expect("a")
    bench.disconnected("a")
    bench.connected("b")  # drops the second notice of a: the first one is in flight
    bench.unreachable(notice)
    bench.disconnected("b")  # drops the first notice of b, the only one that is superseded
    assert sorted(bench.deliver_all()) == [("a", True), ("b", False)]
    assert bench.overflowed == 2


def test_the_limit_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_notices, "NOTICES_MAX_BYTES", 2 * (NOTICE_OVERHEAD_BYTES + 200))
    bench = OutboxBench()
    bench.connected("é" * 100, "b" * 200)
    assert bench.outbox.size_bytes == pending_notices.NOTICES_MAX_BYTES
    bench.connected("c")
    assert bench.overflowed == 1
    assert bench.deliver_all() == [("b" * 200, True), ("c", True)]


def test_the_final_state_of_each_client_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_with_limit(monkeypatch, 20)
    bench.connected(*map(str, range(10)))
    bench.all_unreachable()
    for number in range(500):
        (bench.disconnected if number // 10 % 2 == 0 else bench.connected)(str(number % 10))
    assert bench.overflowed == 490
    final = dict(bench.deliver_all())
    assert final == {str(number): True for number in range(10)}
