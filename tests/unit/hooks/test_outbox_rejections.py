"""Outbox: notices to which the application responds with an error."""

import pytest
from tests.helpers.outbox_bench import OutboxBench

from headrace.hooks.outbox import OUTAGE_CLIENTS, RETRY_WAIT_FIRST_S, RETRY_WAIT_MAX_S

# --- other clients -----------------------------------------------------------------------------


def test_three_clients_that_are_always_rejected_do_not_delay_a_fourth() -> None:
    bench = OutboxBench(max_attempts=1000)
    bad = [f"bad {number}" for number in range(OUTAGE_CLIENTS)]
    bench.connected(*bad)
    for _ in range(20):
        for notice in bench.next_notices():
            bench.reject(notice)
        assert not bench.outbox.outage
        bench.connected("good")
        assert bench.outbox.next_attempt_at(bench.now) == bench.now
        bench.outbox.delivered(bench.expect("good"))
        bench.advance()
    assert len(bench.outbox) == len(bad)


def test_retries_and_new_notices_take_turns() -> None:
    bench = OutboxBench()
    bad = [f"bad {number}" for number in range(10)]
    bench.connected(*bad)
    for notice in bench.next_notices():
        bench.reject(notice)
    bench.now += RETRY_WAIT_MAX_S
    bench.connected(*[f"good {number}" for number in range(10)])
    order = [notice.queue.client_id.split()[0] for notice in bench.next_notices()]
    assert order == ["bad", "good"] * 10


def test_responses_to_others_do_not_end_the_wait_of_a_rejected_client() -> None:
    bench = OutboxBench()
    bench.connected("bad", "good")
    bench.reject(bench.expect("bad"))
    bench.outbox.delivered(bench.expect("good"))
    assert bench.next_notice() is None
    assert bench.advance() == RETRY_WAIT_FIRST_S


def test_a_rejection_ends_an_outage() -> None:
    bench = OutboxBench()
    bench.connected(*map(str, range(10)))
    bench.all_unreachable()
    assert bench.outbox.outage
    bench.advance()
    bench.reject(bench.expect_any())
    assert len(bench.next_notices()) == 9  # only one in an outage


def test_rejections_between_missing_responses_prevent_an_outage() -> None:
    bench = OutboxBench(max_attempts=1000)
    bench.connected("bad")
    for number in range(3 * OUTAGE_CLIENTS):
        bench.connected(f"slow {number}")
        bench.now += RETRY_WAIT_MAX_S
        for notice in bench.next_notices():
            if notice.queue.client_id == "bad":
                bad = notice
            else:
                bench.unreachable(notice)
                slow = notice
        bench.reject(bad)
        bench.outbox.delivered(bench.expect(slow.queue.client_id))
    assert not bench.outbox.outage


def test_a_client_that_was_rejected_does_not_count_for_an_outage() -> None:
    bench = OutboxBench()
    bench.connected("a", "b", "c")
    a, b, c = bench.next_notices()
    bench.unreachable(a)
    bench.unreachable(b)
    bench.reject(c)
    a, b = bench.next_notices()
    bench.reject(a)
    bench.unreachable(b)
    bench.connected("d")
    bench.unreachable(bench.expect("d"))
    assert not bench.outbox.outage


# --- attempts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("max_attempts", [1, 2, 10])
def test_after_the_last_attempt_a_notice_is_dropped(max_attempts: int) -> None:
    bench = OutboxBench(max_attempts=max_attempts)
    bench.connected("a")
    bench.disconnected("a")
    waits = []
    for _ in range(max_attempts - 1):
        assert not bench.reject(bench.expect("a"))
        waits.append(bench.advance())
    assert bench.reject(bench.expect("a"))
    assert waits == [min(RETRY_WAIT_FIRST_S * 2**n, RETRY_WAIT_MAX_S) for n in range(len(waits))]
    assert (bench.gave_up, bench.overflowed, len(bench.outbox)) == (1, 0, 1)
    assert bench.deliver_all() == [("a", False)]


def test_each_notice_has_its_own_attempts_and_waits() -> None:
    bench = OutboxBench(max_attempts=3)
    bench.connected("a")
    bench.disconnected("a")
    for connected in (True, False):
        for _ in range(2):
            assert not bench.reject(bench.expect("a", connected=connected))
            waited_s = bench.advance()
        assert waited_s == 2 * RETRY_WAIT_FIRST_S
        assert bench.reject(bench.expect("a", connected=connected))
    assert bench.gave_up == 2
    assert bench.outbox.next_attempt_at(bench.now) is None
    assert bench.outbox.size_bytes == 0


def test_an_attempt_without_a_response_does_not_count() -> None:
    bench = OutboxBench(max_attempts=2)
    bench.connected("a")
    for _ in range(50):
        bench.unreachable(bench.expect("a"))
        bench.advance()
    assert not bench.reject(bench.expect("a"))
    for _ in range(50):
        bench.advance()
        bench.unreachable(bench.expect("a"))
    bench.advance()
    assert bench.reject(bench.expect("a"))


def test_a_wait_is_at_least_as_long_as_the_application_asks_for() -> None:
    bench = OutboxBench()
    bench.connected("a")
    bench.reject(bench.expect("a"), retry_after_s=5.0)
    assert bench.advance() == 5.0
    bench.reject(bench.expect("a"), retry_after_s=0.1)
    assert bench.advance() == 2 * RETRY_WAIT_FIRST_S
    bench.reject(bench.expect("a"), retry_after_s=3600.0)
    assert bench.advance() == RETRY_WAIT_MAX_S


# --- update-messages ---------------------------------------------------------------------------


def test_a_call_waits_for_the_retry_of_a_rejected_notice() -> None:
    bench = OutboxBench()
    bench.connected("a")
    bench.reject(bench.expect("a"))
    resolved: list[bool] = []
    bench.outbox.enqueue_call("a", resolved.append)
    assert bench.next_notice() is None
    assert bench.advance() == RETRY_WAIT_FIRST_S
    bench.outbox.delivered(bench.expect("a"))
    assert resolved == [True]


def test_a_call_fails_if_the_notice_before_it_is_rejected() -> None:
    bench = OutboxBench()
    bench.connected("a")
    notice = bench.expect("a")
    resolved: list[bool] = []
    bench.outbox.enqueue_call("a", resolved.append)
    bench.reject(notice)
    assert resolved == [False]


def test_a_call_is_made_if_the_notice_before_it_is_dropped() -> None:
    bench = OutboxBench(max_attempts=1)
    bench.connected("a")
    notice = bench.expect("a")
    resolved: list[bool] = []
    call = bench.outbox.enqueue_call("a", resolved.append)
    assert bench.reject(notice)
    assert resolved == [True]
    bench.outbox.finish_call(call)
    assert len(bench.outbox) == 0


# --- shutdown ----------------------------------------------------------------------------------


def test_retry_all_ends_the_waits_and_keeps_the_number_of_attempts() -> None:
    bench = OutboxBench(max_attempts=2)
    bench.connected("a")
    bench.reject(bench.expect("a"), retry_after_s=5.0)
    bench.outbox.retry_all()
    assert bench.reject(bench.expect("a"))


@pytest.mark.parametrize("others", ["", "pending", "in flight", "unreachable", "message"])
def test_is_all_rejected_is_true_only_without_other_entries(others: str) -> None:
    bench = OutboxBench()
    bench.connected("a")
    bench.reject(bench.expect("a"))
    bench.disconnected("a")
    if others == "message":
        bench.outbox.enqueue_call("b", lambda allowed: None)
    elif others:
        bench.connected("b")
        if others != "pending":
            notice = bench.expect("b")
        if others == "unreachable":
            bench.unreachable(notice)
    assert bench.outbox.is_all_rejected is (not others)
