"""auth/rate_limiter.py: bursts, the rate, the wait that is returned, and what is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.auth.rate_limiter import RateLimiter

NOW = 1000.0


def test_a_burst_then_the_rate() -> None:
    limiter = RateLimiter(per_s=4.0, burst=3)
    assert [limiter.acquire("a", NOW) for _ in range(3)] == [0.0] * 3
    assert limiter.acquire("a", NOW) == pytest.approx(0.25)
    assert limiter.acquire("a", NOW + 0.125) == pytest.approx(0.125)
    assert limiter.acquire("a", NOW + 0.25) == 0.0
    assert limiter.acquire("a", NOW + 0.25) > 0


def test_keys_do_not_share() -> None:
    limiter = RateLimiter(per_s=1.0, burst=1)
    assert (limiter.acquire("a", NOW), limiter.acquire("b", NOW)) == (0.0, 0.0)
    assert limiter.acquire("a", NOW) == limiter.acquire("b", NOW) == 1.0


def test_no_more_than_a_burst_gathers() -> None:
    limiter = RateLimiter(per_s=10.0, burst=2)
    limiter.acquire("a", NOW)
    later = NOW + 3600
    assert [limiter.acquire("a", later) > 0 for _ in range(3)] == [False, False, True]


def test_full_buckets_are_deleted_and_others_are_not() -> None:
    limiter = RateLimiter(per_s=1.0, burst=2)
    limiter.acquire("a", NOW)
    limiter.acquire("b", NOW)
    limiter.acquire("b", NOW)
    limiter.expire(NOW + 1)
    assert len(limiter) == 1
    assert limiter.acquire("b", NOW + 1) == 0.0
    assert limiter.acquire("b", NOW + 1) > 0
    limiter.expire(NOW + 60)
    assert len(limiter) == 0


def test_a_permit_may_cost_more_than_one() -> None:
    limiter = RateLimiter(per_s=10.0, burst=100)
    assert limiter.acquire("a", NOW, 80) == 0.0
    assert limiter.acquire("a", NOW, 30) == pytest.approx(1.0)
    assert limiter.acquire("a", NOW, 20) == 0.0
    assert limiter.acquire("a", NOW + 3, 30) == 0.0


def test_a_cost_over_the_burst_needs_a_full_bucket() -> None:
    limiter = RateLimiter(per_s=10.0, burst=100)
    assert limiter.acquire("a", NOW, 1) == 0.0
    assert limiter.acquire("a", NOW, 5000) == pytest.approx(0.1)
    assert limiter.acquire("a", NOW + 1, 5000) == 0.0
    assert limiter.acquire("a", NOW + 1, 1) == pytest.approx(0.1)


def test_asking_for_the_wait_takes_nothing() -> None:
    limiter = RateLimiter(per_s=1.0, burst=1)
    assert [limiter.wait_s("a", NOW) for _ in range(3)] == [0.0] * 3
    assert len(limiter) == 0
    assert limiter.acquire("a", NOW) == 0.0
    assert limiter.wait_s("a", NOW) == 1.0


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 3), st.booleans()), max_size=60),
    st.sampled_from([0.5, 1.0, 7.0]),
    st.integers(1, 5),
)
def test_no_key_gets_more_than_a_burst_and_the_rate(
    steps: list[tuple[str, float, bool]], per_s: float, burst: int
) -> None:
    limiter = RateLimiter(per_s, burst)
    now = NOW
    taken: dict[str, list[float]] = {"a": [], "b": []}
    for key, seconds, expire in steps:
        now += seconds
        if expire:
            limiter.expire(now)
        wait_s = limiter.acquire(key, now)
        if wait_s:
            assert limiter.acquire(key, now + wait_s / 2) > 0  # not earlier
        else:
            taken[key].append(now)
    for moments in taken.values():
        for first in range(len(moments)):
            for last in range(first, len(moments)):
                allowed = burst + (moments[last] - moments[first]) * per_s
                assert last - first + 1 <= allowed + 1e-6
