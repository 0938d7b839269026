"""New connections and busy ones take turns, so that no storm of them starves delivery.

A handshake costs some hundred microseconds; a thousand that arrive together would hold the event
loop for long enough to be felt by everybody who waits for a message. So the first bytes of new
connections are worked off for a few milliseconds of each tick of the loop, in the order in which
they came, and between two such turns the loop delivers. What one connection has sent beyond a
fair share waits in the same queue.
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
        if self._waiting or self._spent_s >= self._budget_s:
            self.defer(work)
            return
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self._next_tick)
        self._run(work)

    def defer(self, work: Callable[[], None]) -> None:
        """Run `work` in a tick to come, when those that wait already have had their turn."""
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self._next_tick)
        self._waiting.append(work)

    def _next_tick(self) -> None:
        self._scheduled = False
        self._spent_s = 0.0
        try:
            while self._waiting and self._spent_s < self._budget_s:
                self._run(self._waiting.popleft())
        finally:  # a piece that raises holds nobody up
            if self._waiting and not self._scheduled:
                self._scheduled = True
                self._schedule(self._next_tick)

    def _run(self, work: Callable[[], None]) -> None:
        started = self._monotonic()
        try:
            work()
        finally:
            self._spent_s += self._monotonic() - started
