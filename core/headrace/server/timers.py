"""One timer for all deadlines: a timer wheel.

A process has thousands of deadlines (pings, token expiries, timeouts), most of which are moved
before they are due. The wheel keeps them in buckets of one tick each, so that setting, moving and
cancelling one costs O(1), and the event loop has a single timer that calls `advance` every tick.

A deadline is never early, and at most one tick late if `advance` is called every tick and runs to
its end. Times are seconds of a monotonic clock.
"""

from collections.abc import Callable
from typing import Final, Protocol

UNSET: Final = -1


class Timed(Protocol):
    """An object with a deadline: hashable, with the number of its bucket in `tick`."""

    tick: int  # `UNSET` without a deadline; written by the wheel alone

    def on_deadline(self, now: float) -> None:
        """Handle the deadline, which is unset now; a new one may be set."""


class TimerWheel:
    """Deadlines in buckets of `resolution_s`."""

    __slots__ = ("_buckets", "_emptied", "_reached", "resolution_s")

    def __init__(self, now: float, resolution_s: float = 0.25) -> None:
        self.resolution_s = resolution_s
        self._buckets: dict[int, set[Timed]] = {}
        # The last tick that `advance` came to, and the last one whose bucket it emptied. They
        # differ while callbacks run, and after a callback that raised.
        self._reached = self._emptied = int(now / resolution_s)

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def set(self, timed: Timed, deadline: float) -> None:
        """Set or move a deadline; one in the past is due at the next tick."""
        tick = max(int(deadline / self.resolution_s), self._reached) + 1
        if tick == timed.tick:
            return
        self.cancel(timed)
        timed.tick = tick
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
        bucket.add(timed)

    def cancel(self, timed: Timed) -> None:
        """Remove the deadline, if there is one."""
        if timed.tick == UNSET:
            return
        bucket = self._buckets[timed.tick]
        bucket.discard(timed)
        if not bucket:
            del self._buckets[timed.tick]
        timed.tick = UNSET

    def advance(self, now: float, must_stop: Callable[[], bool] = lambda: False) -> bool:
        """Call `on_deadline` of everything that is due at `now`.

        Returns False if `must_stop` ended it early; the next call continues.
        """
        tick = max(int(now / self.resolution_s), self._reached)
        if tick - self._emptied > len(self._buckets):  # after a long sleep, or with few deadlines
            due = sorted([t for t in self._buckets if t <= tick])
        else:
            due = [t for t in range(self._emptied + 1, tick + 1) if t in self._buckets]
        self._reached = tick
        for passed in due:
            bucket = self._buckets.get(passed)
            while bucket:  # one at a time: a callback may cancel another of the bucket
                if must_stop():
                    return False
                timed = bucket.pop()
                timed.tick = UNSET
                timed.on_deadline(now)
            self._buckets.pop(passed, None)
            self._emptied = passed
        self._emptied = tick
        return True
