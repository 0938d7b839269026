"""New connections, busy ones and lost ones take turns, so that no storm starves delivery.

A handshake costs some hundred microseconds; a thousand that arrive together would hold the event
loop for long enough to be felt by everybody who waits for a message. So the first bytes of new
connections are worked off for a little of each tick of the loop, in the order in which they came,
and between two such turns the loop delivers. What one connection has sent beyond a fair share waits
in the same queue. What is left to do for lost connections has a queue of its own, at a slower pace,
since nobody waits for it.

How much of a tick: `budget_s`, or `share` of the time that the loop was busy with everything else,
so that a storm is over in bounded time on a loop that has a lot to deliver.
"""

import math
from collections import deque
from collections.abc import Callable

from headrace import limits


class Admission:
    """Runs pieces of work within a budget per tick; the rest waits for the ticks that follow."""

    def __init__(
        self,
        schedule: Callable[[Callable[[], None]], object],
        monotonic: Callable[[], float],
        budget_s: float = limits.ADMISSION_BUDGET_S,
        share: float = limits.ADMISSION_SHARE,
        at_once_s: float = math.inf,
        deliver: Callable[[], None] = lambda: None,
    ) -> None:
        """`schedule(callback)` has `callback` called in the loop's next tick, or in a later one.

        What is submitted when `at_once_s` of the budget are spent waits for that; with 0, the first
        piece alone is run at once.

        `deliver` is called before those who wait have their turn.
        """
        self._schedule = schedule
        self._monotonic = monotonic
        self._least_s = self._budget_s = budget_s
        self._share = share
        self._at_once_s = at_once_s
        self._deliver = deliver
        self._asked_at = 0.0  # for a next tick: from then on the loop does not sleep
        self._spent_s = 0.0
        self._waiting: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` now if this tick's budget lasts and nobody waits, else in its turn."""
        if self._waiting:  # and so the next tick is asked for already
            self._waiting.append(work)
            return
        is_late = self._scheduled and self._spent_s > self._at_once_s
        if is_late or self._spent_s >= self._budget_s:
            self.defer(work)
            return
        self._ask_for_tick()
        started = self._monotonic()
        try:
            work()
        finally:
            self._spent_s += self._monotonic() - started

    def defer(self, work: Callable[[], None]) -> None:
        """Run `work` in a tick to come, when those that wait already have had their turn."""
        self._ask_for_tick()
        self._waiting.append(work)

    def _ask_for_tick(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._asked_at = self._monotonic()
            self._schedule(self._next_tick)

    def _next_tick(self) -> None:
        self._scheduled = False
        self._spent_s = 0.0
        try:
            self._deliver()
            started = self._monotonic()
            self._budget_s = max(self._least_s, self._share * (started - self._asked_at))
            while self._waiting and self._spent_s < self._budget_s:
                self._waiting.popleft()()
                self._spent_s = self._monotonic() - started
        finally:  # a piece that raises holds nobody up
            if self._waiting:
                self._ask_for_tick()
