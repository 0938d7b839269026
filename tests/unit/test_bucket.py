"""headrace.bucket: bursts, the rate, the wait that is told, and what is remembered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bucket import Buckets

NOW = 1000.0


def test_a_burst_then_the_rate() -> None:
    buckets = Buckets(per_s=4.0, burst=3)
    assert [buckets.take("a", NOW) for _ in range(3)] == [0.0] * 3
    assert buckets.take("a", NOW) == pytest.approx(0.25)
    assert buckets.take("a", NOW + 0.125) == pytest.approx(0.125)
    assert buckets.take("a", NOW + 0.25) == 0.0
    assert buckets.take("a", NOW + 0.25) > 0


def test_keys_do_not_share() -> None:
    buckets = Buckets(per_s=1.0, burst=1)
    assert (buckets.take("a", NOW), buckets.take("b", NOW)) == (0.0, 0.0)
    assert buckets.take("a", NOW) == buckets.take("b", NOW) == 1.0


def test_no_more_than_a_burst_gathers() -> None:
    buckets = Buckets(per_s=10.0, burst=2)
    buckets.take("a", NOW)
    later = NOW + 3600
    assert [buckets.take("a", later) > 0 for _ in range(3)] == [False, False, True]


def test_full_buckets_are_forgotten_and_others_are_not() -> None:
    buckets = Buckets(per_s=1.0, burst=2)
    buckets.take("a", NOW)
    buckets.take("b", NOW)
    buckets.take("b", NOW)
    buckets.expire(NOW + 1)
    assert len(buckets) == 1
    assert buckets.take("b", NOW + 1) == 0.0
    assert buckets.take("b", NOW + 1) > 0
    buckets.expire(NOW + 60)
    assert len(buckets) == 0


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 3), st.booleans()), max_size=60),
    st.sampled_from([0.5, 1.0, 7.0]),
    st.integers(1, 5),
)
def test_no_key_gets_more_than_a_burst_and_the_rate(
    steps: list[tuple[str, float, bool]], per_s: float, burst: int
) -> None:
    buckets = Buckets(per_s, burst)
    now = NOW
    taken: dict[str, list[float]] = {"a": [], "b": []}
    for key, seconds, expire in steps:
        now += seconds
        if expire:
            buckets.expire(now)
        wait_s = buckets.take(key, now)
        if wait_s:
            assert buckets.take(key, now + wait_s / 2) > 0  # not before that
        else:
            taken[key].append(now)
    for moments in taken.values():
        for first in range(len(moments)):
            for last in range(first, len(moments)):
                allowed = burst + (moments[last] - moments[first]) * per_s
                assert last - first + 1 <= allowed + 1e-6
