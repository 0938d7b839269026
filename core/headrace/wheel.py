"""One timer for all deadlines.

A process has thousands of deadlines (pings, expiries, time-outs) that hardly ever strike as set.
The wheel keeps them in buckets of one tick each: setting, moving and cancelling one costs O(1),
and the event loop has a single timer that calls `advance` every tick.

A deadline is never early, and at most one tick late as long as `advance` is called every tick and
not told to stop.
Times are seconds of a monotonic clock.
"""

from collections.abc import Callable
from typing import Protocol

UNSET = -1


class Timed(Protocol):
    """What has a deadline: hashable, with the bucket it sits in kept on itself."""

    tick: int  # `UNSET` where it has no deadline; written by the wheel alone

    def on_deadline(self, now: float) -> None:
        """Do what was due; there is no deadline now, and another may be set."""


class TimerWheel:
    """Deadlines in buckets of `resolution_s`."""

    __slots__ = ("_buckets", "_emptied", "_reached", "resolution_s")

    def __init__(self, now: float, resolution_s: float = 0.25) -> None:
        self.resolution_s = resolution_s
        self._buckets: dict[int, set[Timed]] = {}
        # The last tick that `advance` came to, and the last whose bucket it emptied: they differ
        # while callbacks run, and after one that raised, whose neighbours are still to be called.
        self._reached = self._emptied = int(now / resolution_s)

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def set(self, timed: Timed, deadline: float) -> None:
        """Give `timed` the deadline, in place of the one it may have had.

        One that is past already strikes at the next tick.
        """
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
        """Take away the deadline that `timed` may have."""
        if timed.tick == UNSET:
            return
        bucket = self._buckets[timed.tick]
        bucket.discard(timed)
        if not bucket:
            del self._buckets[timed.tick]
        timed.tick = UNSET

    def advance(self, now: float, enough: Callable[[], bool] = lambda: False) -> bool:
        """Call `on_deadline` of everything whose deadline lies in a tick that is over at `now`.

        Stops where `enough` says so, and returns False then: a next call goes on.
        """
        tick = max(int(now / self.resolution_s), self._reached)
        if tick - self._emptied > len(self._buckets):  # after a long sleep, or with few deadlines
            due = sorted([t for t in self._buckets if t <= tick])
        else:
            due = [t for t in range(self._emptied + 1, tick + 1) if t in self._buckets]
        self._reached = tick
        for passed in due:
            bucket = self._buckets.get(passed)
            while bucket:  # emptied one by one: a callback may cancel another of the bucket
                if enough():
                    return False
                timed = bucket.pop()
                timed.tick = UNSET
                timed.on_deadline(now)
            self._buckets.pop(passed, None)
            self._emptied = passed
        self._emptied = tick
        return True
