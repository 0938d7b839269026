"""New connections take turns, so that an accept storm does not starve delivery.

A handshake costs some hundred microseconds; a thousand that arrive together would hold the event
loop for long enough to be felt by everybody who waits for a message. So the first bytes of new
connections are worked off for a few milliseconds of each tick of the loop, in the order in which
they came, and between two such turns the loop delivers.
"""

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
    ) -> None:
        """`schedule(callback)` has `callback` called in the loop's next tick."""
        self._schedule = schedule
        self._monotonic = monotonic
        self._budget_s = budget_s
        self._spent_s = 0.0
        self._waiting: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` now if this tick's budget lasts and nobody waits, else in its turn."""
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self._next_tick)
        if self._waiting or self._spent_s >= self._budget_s:
            self._waiting.append(work)
        else:
            self._run(work)

    def _next_tick(self) -> None:
        self._scheduled = False
        self._spent_s = 0.0
        try:
            while self._waiting and self._spent_s < self._budget_s:
                self._run(self._waiting.popleft())
        finally:  # a piece that raises holds nobody up
            if self._waiting:
                self._scheduled = True
                self._schedule(self._next_tick)

    def _run(self, work: Callable[[], None]) -> None:
        started = self._monotonic()
        try:
            work()
        finally:
            self._spent_s += self._monotonic() - started
