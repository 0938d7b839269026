"""Outbox: order, waits, outages, update-messages. Error responses: `test_outbox_rejections.py`."""

from collections.abc import Iterator

import pytest
from tests.helpers.outbox_bench import OutboxBench

from headrace.errors import StateError
from headrace.hooks.client_queue import QueuedCall
from headrace.hooks.outbox import (
    OUTAGE_CLIENTS,
    PROBE_WAIT_MAX_S,
    RETRY_WAIT_FIRST_S,
    RETRY_WAIT_MAX_S,
)

# --- order -------------------------------------------------------------------------------------


def test_clients_are_concurrent_and_the_notices_of_one_client_are_in_order() -> None:
    bench = OutboxBench()
    bench.connected("a", "b")
    bench.disconnected("a")
    a, b = bench.expect("a"), bench.expect("b")
    assert bench.next_notice() is None
    bench.outbox.delivered(b)
    assert bench.next_notice() is None
    bench.outbox.delivered(a)
    bench.outbox.delivered(bench.expect("a", connected=False))
    assert bench.outbox.next_attempt_at(bench.now) is None
    assert len(bench.outbox) == 0


def test_later_notices_of_a_client_wait_for_one_that_fails() -> None:
    bench = OutboxBench()
    bench.connected("a")
    bench.disconnected("a")
    bench.unreachable(bench.expect("a"))
    bench.connected("a", "b")
    bench.outbox.delivered(bench.expect("b"))
    assert bench.deliver_all() == [("a", True), ("a", False), ("a", True)]


def test_a_retry_has_the_same_number() -> None:
    bench = OutboxBench()
    bench.connected("a")
    first = bench.expect("a")
    bench.unreachable(first)
    bench.advance()
    assert bench.expect("a").number == first.number


# --- waits -------------------------------------------------------------------------------------


def waits_of(bench: OutboxBench, failures: int) -> Iterator[float]:
    for _ in range(failures):
        bench.unreachable(bench.expect("a"))
        yield bench.advance()


@pytest.mark.parametrize(("jitter", "part"), [(0.0, 0.5), (1.0, 1.0)])
def test_waits_double_up_to_a_limit_with_jitter(jitter: float, part: float) -> None:
    bench = OutboxBench(jitter)
    bench.connected("a")
    expected = [part * min(RETRY_WAIT_FIRST_S * 2**n, RETRY_WAIT_MAX_S) for n in range(40)]
    assert list(waits_of(bench, 40)) == pytest.approx(expected)


def test_a_success_resets_the_waits() -> None:
    bench = OutboxBench()
    bench.connected("a")
    assert len(list(waits_of(bench, 5))) == 5
    bench.disconnected("a")
    bench.outbox.delivered(bench.expect("a"))
    bench.unreachable(bench.expect("a", connected=False))
    assert bench.advance() == RETRY_WAIT_FIRST_S


def test_responses_to_others_do_not_shorten_the_waits_of_a_client_that_gets_none() -> None:
    bench = OutboxBench()
    bench.connected("bad")
    bench.unreachable(bench.expect("bad"))
    attempts = 0
    for number in range(1000):
        bench.connected(f"good {number}")
        bench.now += 0.01
        for notice in bench.next_notices():
            if notice.queue.client_id == "bad":
                attempts += 1
                bench.unreachable(notice)
            else:
                bench.outbox.delivered(notice)
    assert attempts == 6  # in 10 s: at once, then after 0.25, 0.5, 1, 2 and 4 s


# --- outages -----------------------------------------------------------------------------------


def clients_without_response(bench: OutboxBench, clients: int) -> None:
    bench.connected(*[str(number) for number in range(clients)])
    bench.all_unreachable()


def test_below_the_threshold_other_clients_are_not_affected() -> None:
    bench = OutboxBench()
    clients_without_response(bench, OUTAGE_CLIENTS - 1)
    assert not bench.outbox.outage
    bench.connected("new")
    bench.outbox.delivered(bench.expect("new"))


def test_in_an_outage_one_notice_at_a_time_is_sent_with_growing_waits() -> None:
    bench = OutboxBench()
    clients_without_response(bench, 50)
    assert bench.outbox.outage
    bench.connected("new")
    assert bench.next_notice() is None
    waits = []
    probed = set()
    for _ in range(10):
        waits.append(bench.advance())
        notice = bench.expect_any()
        assert bench.next_notice() is None
        assert bench.outbox.next_attempt_at(bench.now) is None
        probed.add(notice.queue.client_id)
        bench.unreachable(notice)
    expected = [min(RETRY_WAIT_FIRST_S * 2**n, PROBE_WAIT_MAX_S) for n in range(10)]
    assert waits == pytest.approx(expected)
    assert len(probed) > 5  # different clients, because the fault may be specific to one


def test_the_first_delivery_ends_the_outage_for_all() -> None:
    bench = OutboxBench()
    clients_without_response(bench, 50)
    for _ in range(30):
        bench.advance()
        notice = bench.expect_any()
        bench.unreachable(notice)
    bench.advance()
    probe = bench.expect_any()
    bench.outbox.delivered(probe)
    assert not bench.outbox.outage
    rest = bench.next_notices()
    assert len(rest) == 49
    assert len({notice.queue.client_id for notice in rest} | {probe.queue.client_id}) == 50


def test_a_probe_that_fails_after_another_response_starts_no_outage() -> None:
    bench = OutboxBench()
    clients_without_response(bench, 5)
    bench.advance()
    probe = bench.expect_any()
    bench.outbox.application_responded()
    others = bench.next_notices()
    assert len(others) == 4
    bench.unreachable(probe)
    for notice in others:
        bench.outbox.delivered(notice)
    assert len(bench.deliver_all()) == 1


def test_repeated_outages() -> None:
    bench = OutboxBench()
    for _ in range(3):
        clients_without_response(bench, 10)
        bench.advance()
        probe = bench.expect_any()
        bench.outbox.delivered(probe)
        for notice in bench.next_notices():
            bench.unreachable(notice)
    bench.outbox.application_responded()
    assert bench.next_notices()


def test_retry_all_ends_an_outage() -> None:
    bench = OutboxBench()
    clients_without_response(bench, 10)
    bench.outbox.retry_all()
    assert len(bench.next_notices()) == 10


# --- update-messages ---------------------------------------------------------------------------


class Call:
    """A queued update-message; `resolved` are the arguments of its `resolve` calls."""

    def __init__(self, bench: OutboxBench, client_id: str) -> None:
        self.resolved: list[bool] = []
        self.entry: QueuedCall = bench.outbox.enqueue_call(client_id, self.resolved.append)


def test_calls_of_a_client_without_notices_are_made_one_at_a_time() -> None:
    bench = OutboxBench()
    first, second, other = Call(bench, "a"), Call(bench, "a"), Call(bench, "b")
    assert (first.resolved, second.resolved, other.resolved) == ([True], [], [True])
    bench.outbox.finish_call(first.entry)
    assert second.resolved == [True]


def test_a_call_waits_for_the_notice_before_it_and_delays_the_one_after_it() -> None:
    bench = OutboxBench()
    bench.connected("a")
    notice = bench.expect("a")
    message = Call(bench, "a")
    bench.disconnected("a")
    assert message.resolved == []
    bench.outbox.delivered(notice)
    assert message.resolved == [True]
    assert bench.next_notice() is None
    bench.outbox.finish_call(message.entry)
    bench.outbox.delivered(bench.expect("a", connected=False))


def test_a_call_retries_its_clients_notice_at_once_even_in_an_outage() -> None:
    bench = OutboxBench()
    clients_without_response(bench, 10)
    message = Call(bench, "7")
    bench.outbox.delivered(bench.expect("7"))
    assert message.resolved == [True]


def test_a_call_fails_if_the_notice_before_it_gets_no_response() -> None:
    bench = OutboxBench()
    bench.connected("a")
    notice = bench.expect("a")
    first, second = Call(bench, "a"), Call(bench, "a")
    bench.unreachable(notice)
    assert (first.resolved, second.resolved) == ([False], [False])
    bench.outbox.finish_call(first.entry)
    bench.outbox.finish_call(second.entry)
    assert bench.deliver_all() == [("a", True)]


def test_a_call_that_is_given_up_is_skipped() -> None:
    bench = OutboxBench()
    first, second, third = [Call(bench, "a") for _ in range(3)]
    bench.outbox.finish_call(second.entry)
    bench.outbox.finish_call(second.entry)
    bench.outbox.finish_call(first.entry)
    assert (second.resolved, third.resolved) == ([], [True])


# --- wrong calls -------------------------------------------------------------------------------


def test_an_attempt_cannot_end_twice() -> None:
    bench = OutboxBench()
    bench.connected("a", "b")
    a, b = bench.next_notices()
    bench.outbox.delivered(a)
    bench.unreachable(b)
    for notice in (a, b):
        with pytest.raises(StateError, match=f"notice {notice.number} is not in flight"):
            bench.outbox.delivered(notice)
        with pytest.raises(StateError, match="is not in flight"):
            bench.unreachable(notice)
