"""headrace.server.admission: turns of a few milliseconds, by a manual clock."""

import math
from collections.abc import Callable

import pytest

from headrace.server.admission import Admission


class Loop:
    """A loop whose ticks are made by hand, and whose clock moves only by work."""

    def __init__(self, at_once_s: float = math.inf) -> None:
        self.now_s = 100.0
        self.scheduled: list[Callable[[], None]] = []
        self.admission = Admission(
            self.scheduled.append,
            lambda: self.now_s,
            budget_s=0.004,
            share=0.25,
            at_once_s=at_once_s,
        )
        self.done: list[str] = []

    def submit(self, name: str, cost_s: float = 0.001) -> None:
        self.admission.submit(lambda: self._work(name, cost_s))

    def _work(self, name: str, cost_s: float) -> None:
        self.now_s += cost_s
        self.done.append(name)
        if name == "faulty":
            raise RuntimeError(name)

    def tick(self) -> list[str]:
        """Run a tick; return what was done in it."""
        callbacks, self.scheduled[:] = self.scheduled[:], []
        before = len(self.done)
        for callback in callbacks:
            callback()
        return self.done[before:]


def test_work_runs_at_once_while_the_budget_lasts() -> None:
    loop = Loop()
    loop.submit("a")
    loop.submit("b")
    assert loop.done == ["a", "b"]
    assert len(loop.admission) == 0


def test_what_is_over_the_budget_waits_for_the_next_ticks_in_its_order() -> None:
    loop = Loop()
    for name in "abcdefghij":
        loop.submit(name)
    assert loop.done == [*"abcd"]
    assert len(loop.admission) == 6
    assert loop.tick() == [*"efgh"]
    assert loop.tick() == [*"ij"]
    assert len(loop.admission) == 0


def test_little_may_be_done_at_once_though_the_budget_of_a_turn_is_larger() -> None:
    loop = Loop(at_once_s=0.0)
    for name in "abcdefg":
        loop.submit(name)
    assert loop.done == ["a"]
    assert loop.tick() == [*"bcde"]
    assert loop.tick() == [*"fg"]
    loop.tick()
    loop.submit("h")
    assert loop.done[-1] == "h"


def test_a_piece_that_costs_more_than_the_budget_is_the_only_one_of_its_tick() -> None:
    loop = Loop()
    for name in "abc":
        loop.submit(name, cost_s=0.1)
    assert loop.done == ["a"]
    assert loop.tick() == ["b"]
    assert loop.tick() == ["c"]


def test_nobody_overtakes_those_who_wait() -> None:
    loop = Loop()
    for name in "abcde":
        loop.submit(name)
    loop.tick()  # "e" has run; the rest of this tick's budget is free
    loop.submit("f")
    assert loop.done == [*"abcdef"]
    for name in "ghijk":
        loop.submit(name)
    assert loop.done == [*"abcdefgh"]
    loop.submit("l", cost_s=0)
    assert loop.tick() == [*"ijkl"]


def test_the_budget_is_new_in_each_tick() -> None:
    loop = Loop()
    for tick in range(5):
        for name in "abcd":
            loop.submit(f"{name}{tick}")
        assert len(loop.admission) == 0
        loop.tick()


def test_a_long_tick_leaves_more_time_to_those_who_wait() -> None:
    loop = Loop()
    for name in "abcdefghijklmno":
        loop.submit(name)
    loop.now_s += 0.024  # deliveries
    assert loop.tick() == [*"efghijk"]  # 7 ms: a quarter of 24 ms and of what was admitted
    assert loop.tick() == [*"lmno"]
    loop.now_s += 60
    for name in "pqrstu":
        loop.submit(name)
    assert loop.tick() == [*"pqrs"]  # an idle minute is no long tick


def test_who_waits_for_a_message_goes_before_who_waits_for_a_turn() -> None:
    done: list[str] = []
    scheduled: list[Callable[[], None]] = []
    admission = Admission(
        scheduled.append, lambda: 100.0 + len(done), deliver=lambda: done.append("deliver")
    )
    admission.defer(lambda: done.append("admit"))
    scheduled.pop()()
    assert done == ["deliver", "admit"]


def test_one_tick_is_asked_for_at_a_time_and_none_while_nothing_comes() -> None:
    loop = Loop()
    assert loop.scheduled == []
    for name in "abcdefghij":
        loop.submit(name)
    assert len(loop.scheduled) == 1
    loop.tick()
    assert len(loop.scheduled) == 1
    loop.tick()
    loop.tick()
    assert loop.scheduled == []
    loop.submit("k")
    assert loop.done[-1] == "k"
    assert len(loop.scheduled) == 1


def test_time_that_passes_outside_is_not_charged() -> None:
    loop = Loop()
    loop.submit("a")
    loop.now_s += 60
    loop.submit("b")
    assert loop.done == ["a", "b"]


def test_work_may_submit_work() -> None:
    loop = Loop()
    loop.admission.submit(lambda: loop.submit("inner"))
    assert loop.done == ["inner"]


def test_a_piece_that_raises_is_charged_and_holds_nobody_up() -> None:
    loop = Loop()
    for name in "abcd":
        loop.submit(name)
    loop.submit("faulty", cost_s=0.003)
    for name in "efg":
        loop.submit(name)
    with pytest.raises(RuntimeError, match="faulty"):
        loop.tick()
    done = loop.tick() + loop.tick()
    assert done == [*"efg"]
    with pytest.raises(RuntimeError, match="faulty"):
        loop.submit("faulty", cost_s=0.01)
    loop.submit("h")
    assert loop.tick() == ["h"]


def test_deferred_work_lets_those_who_wait_go_first() -> None:
    loop = Loop()
    loop.admission.defer(lambda: loop.submit("deferred"))
    assert loop.done == []
    for name in "abc":
        loop.submit(name)
    assert loop.tick() == [*"abc", "deferred"]


def test_work_that_defers_itself_has_one_tick_asked_for_at_a_time() -> None:
    loop = Loop()

    def again() -> None:
        loop.submit("again")
        loop.now_s += 0.01
        loop.admission.defer(again)

    loop.admission.defer(again)
    for _ in range(5):
        loop.tick()
        assert len(loop.scheduled) == 1
