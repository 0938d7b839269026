"""Spread work over event loop ticks, so that a burst of it does not delay delivery.

A WebSocket handshake costs some hundred microseconds. A thousand of them in one tick would delay
every message. So the first requests of new connections, and what is left of a busy connection's
input, are handled for a limited time per tick, in the order of arrival; between two ticks the event
loop delivers. Removing lost connections has its own, slower queue, since nobody waits for it.

The time per tick is `budget_s`, or `share` of the time that the event loop was busy with everything
else, if that is more: so a burst is over in bounded time even on a busy loop.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Final

BUDGET_S: Final = 0.0005
SHARE: Final = 0.25


class TickBudget:
    """Runs pieces of work within a time budget per tick; `waiting` holds the rest.

    `schedule(callback)` must call `callback` in a later tick. `deliver` is called before waiting
    work is run. Work that is submitted after `eager_s` of a tick's budget has been used waits for
    the next tick; with 0 only the first piece runs at once.
    """

    def __init__(
        self,
        schedule: Callable[[Callable[[], None]], object],
        monotonic: Callable[[], float],
        budget_s: float = BUDGET_S,
        share: float = SHARE,
        eager_s: float = math.inf,
        deliver: Callable[[], None] = lambda: None,
    ) -> None:
        self.waiting: deque[Callable[[], None]] = deque()
        self._schedule = schedule
        self._monotonic = monotonic
        self._min_budget_s = self._budget_s = budget_s
        self._share = share
        self._eager_s = eager_s
        self._deliver = deliver
        self._scheduled_at: float | None = None  # None: no tick is scheduled
        self._used_s = 0.0

    def submit(self, work: Callable[[], None]) -> bool:
        """Run `work` now if nothing waits and the budget allows it, otherwise queue it.

        Return whether it was run.
        """
        if self.waiting:
            self.waiting.append(work)
            return False
        is_late = self._scheduled_at is not None and self._used_s > self._eager_s
        if is_late or self._used_s >= self._budget_s:
            self.defer(work)
            return False
        self._schedule_tick()
        started = self._monotonic()
        try:
            work()
        finally:
            self._used_s += self._monotonic() - started
        return True

    def defer(self, work: Callable[[], None]) -> None:
        """Run `work` in a later tick, after everything that waits already."""
        self._schedule_tick()
        self.waiting.append(work)

    def _schedule_tick(self) -> None:
        if self._scheduled_at is None:
            self._scheduled_at = self._monotonic()
            self._schedule(self._tick)

    def _tick(self) -> None:
        scheduled_at, self._scheduled_at = self._scheduled_at, None
        assert scheduled_at is not None
        self._used_s = 0.0
        try:
            self._deliver()
            started = self._monotonic()
            self._budget_s = max(self._min_budget_s, self._share * (started - scheduled_at))
            while self.waiting and self._used_s < self._budget_s:
                self.waiting.popleft()()
                self._used_s = self._monotonic() - started
        finally:  # work that raises does not stop the rest
            if self.waiting:
                self._schedule_tick()
