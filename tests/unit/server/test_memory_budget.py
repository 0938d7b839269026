"""server/memory_budget.py: limits per owner and in total."""

import pytest

from headrace.errors import RateLimitedError
from headrace.server import memory_budget
from headrace.server.memory_budget import COUNTED_MIN_BYTES, MemoryBudget, Owner

KIB = 1024
ADA, BOB, ADDRESS = Owner("ada"), Owner("bob"), Owner(None, "192.0.2.1")


class FakeHolder:
    """A connection that notes that it was aborted."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_an_owner_over_its_limit_is_refused_until_it_holds_less() -> None:
    budget = MemoryBudget()
    holders = [FakeHolder() for _ in range(5)]
    for holder in holders[:4]:
        budget.hold(holder, ADA, 1024 * KIB)
    budget.check(ADA)
    budget.hold(holders[4], ADA, COUNTED_MIN_BYTES)
    assert budget.full_owners
    with pytest.raises(RateLimitedError, match="hold 4210688 bytes, more than 4194304"):
        budget.check(ADA)
    budget.check(BOB)
    budget.release(holders[0])
    budget.check(ADA)
    for holder in holders:
        budget.release(holder)
    assert budget.total_bytes == 0
    assert not any(holder.aborted for holder in holders)


def test_an_address_may_hold_more_than_a_client() -> None:
    budget, holder = MemoryBudget(), FakeHolder()
    budget.hold(holder, ADDRESS, memory_budget.ADDRESS_MAX_BYTES)
    budget.check(ADDRESS)
    budget.hold(holder, ADDRESS, memory_budget.ADDRESS_MAX_BYTES + 1)
    assert budget.is_full(ADDRESS)


def test_what_a_connection_holds_is_set_not_added() -> None:
    budget, holder = MemoryBudget(), FakeHolder()
    budget.hold(holder, ADA, 100 * KIB)
    budget.hold(holder, ADA, 150 * KIB)
    assert budget.total_bytes == 150 * KIB
    budget.hold(holder, BOB, 20 * KIB)  # the next request on the connection is another client's
    assert budget.total_bytes == 20 * KIB
    budget.hold(holder, BOB, COUNTED_MIN_BYTES - 1)
    assert budget.total_bytes == 0
    budget.release(holder)


def test_over_the_total_the_largest_are_aborted(caplog: pytest.LogCaptureFixture) -> None:
    budget = MemoryBudget(400 * KIB)
    small, large, larger, last = (FakeHolder() for _ in range(4))
    budget.hold(small, ADA, 50 * KIB)
    budget.hold(large, BOB, 150 * KIB)
    budget.hold(larger, ADDRESS, 160 * KIB)
    budget.hold(last, ADA, 60 * KIB)
    assert larger.aborted
    assert not any(holder.aborted for holder in (small, large, last))
    assert budget.total_bytes == 260 * KIB
    assert "aborted 1 connections" in caplog.text
