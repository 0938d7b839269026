"""server/tick_budget.py: how much work runs in each tick, with a manual clock."""

import math
from collections.abc import Callable

import pytest

from headrace.server.tick_budget import TickBudget


class Loop:
    """An event loop with manual ticks, whose clock is moved by the work."""

    def __init__(self, eager_s: float = math.inf) -> None:
        self.now_s = 100.0
        self.scheduled: list[Callable[[], None]] = []
        self.tick_budget = TickBudget(
            self.scheduled.append,
            lambda: self.now_s,
            budget_s=0.004,
            share=0.25,
            eager_s=eager_s,
        )
        self.done: list[str] = []

    def submit(self, name: str, cost_s: float = 0.001) -> None:
        self.tick_budget.submit(lambda: self._work(name, cost_s))

    def _work(self, name: str, cost_s: float) -> None:
        self.now_s += cost_s
        self.done.append(name)
        if name == "faulty":
            raise RuntimeError(name)

    def tick(self) -> list[str]:
        """Run a tick; return the work that ran in it."""
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
    assert len(loop.tick_budget.waiting) == 0


def test_work_over_the_budget_waits_for_the_next_ticks_in_order() -> None:
    loop = Loop()
    for name in "abcdefghij":
        loop.submit(name)
    assert loop.done == [*"abcd"]
    assert len(loop.tick_budget.waiting) == 6
    assert loop.tick() == [*"efgh"]
    assert loop.tick() == [*"ij"]
    assert len(loop.tick_budget.waiting) == 0


def test_the_eager_time_may_be_less_than_the_budget() -> None:
    loop = Loop(eager_s=0.0)
    for name in "abcdefg":
        loop.submit(name)
    assert loop.done == ["a"]
    assert loop.tick() == [*"bcde"]
    assert loop.tick() == [*"fg"]
    loop.tick()
    loop.submit("h")
    assert loop.done[-1] == "h"


def test_work_that_costs_more_than_the_budget_runs_alone_in_its_tick() -> None:
    loop = Loop()
    for name in "abc":
        loop.submit(name, cost_s=0.1)
    assert loop.done == ["a"]
    assert loop.tick() == ["b"]
    assert loop.tick() == ["c"]


def test_new_work_does_not_overtake_waiting_work() -> None:
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
        assert len(loop.tick_budget.waiting) == 0
        loop.tick()


def test_after_a_long_tick_the_budget_is_larger() -> None:
    loop = Loop()
    for name in "abcdefghijklmno":
        loop.submit(name)
    loop.now_s += 0.024  # deliveries
    assert loop.tick() == [*"efghijk"]  # 7 ms: a quarter of 24 ms and of the work before
    assert loop.tick() == [*"lmno"]
    loop.now_s += 60
    for name in "pqrstu":
        loop.submit(name)
    assert loop.tick() == [*"pqrs"]  # an idle minute is not a long tick


def test_messages_are_delivered_before_waiting_work_runs() -> None:
    done: list[str] = []
    scheduled: list[Callable[[], None]] = []
    tick_budget = TickBudget(
        scheduled.append, lambda: 100.0 + len(done), deliver=lambda: done.append("deliver")
    )
    tick_budget.defer(lambda: done.append("work"))
    scheduled.pop()()
    assert done == ["deliver", "work"]


def test_one_tick_is_scheduled_at_a_time_and_none_without_work() -> None:
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


def test_only_the_time_of_work_is_charged() -> None:
    loop = Loop()
    loop.submit("a")
    loop.now_s += 60
    loop.submit("b")
    assert loop.done == ["a", "b"]


def test_work_may_submit_work() -> None:
    loop = Loop()
    loop.tick_budget.submit(lambda: loop.submit("inner"))
    assert loop.done == ["inner"]


def test_work_that_raises_is_charged_and_does_not_stop_the_rest() -> None:
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


def test_deferred_work_runs_after_waiting_work() -> None:
    loop = Loop()
    loop.tick_budget.defer(lambda: loop.submit("deferred"))
    assert loop.done == []
    for name in "abc":
        loop.submit(name)
    assert loop.tick() == [*"abc", "deferred"]


def test_work_that_defers_itself_schedules_one_tick_at_a_time() -> None:
    loop = Loop()

    def again() -> None:
        loop.submit("again")
        loop.now_s += 0.01
        loop.tick_budget.defer(again)

    loop.tick_budget.defer(again)
    for _ in range(5):
        loop.tick()
        assert len(loop.scheduled) == 1


def test_submit_returns_whether_the_work_was_run() -> None:
    clock = [0.0]
    scheduled: list[object] = []

    def work() -> None:
        clock[0] += 1

    budget = TickBudget(scheduled.append, lambda: clock[0])
    assert budget.submit(work)
    assert not budget.submit(work)  # the budget of the tick is used up
    assert not budget.submit(work)
    assert len(budget.waiting) == 2
