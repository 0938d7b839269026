"""A rate limiter with one token bucket per key.

A bucket holds at most `burst` permits, starts full, and gains `per_s` permits a second. Full
buckets are not stored. `now` is monotonic time in seconds.
"""


class RateLimiter:
    """Limits each key to `per_s` permits a second on average, and to `burst` at once."""

    __slots__ = ("_buckets", "_burst", "_per_s")

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}  # permits, and the time of the count

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_s(self, key: str, now: float, cost: float = 1) -> float:
        """Return the seconds until `cost` permits are available; 0.0 if they are now.

        A cost over the burst counts as the burst: otherwise it could never be granted.
        """
        return max((min(cost, self._burst) - self._permits(key, now)) / self._per_s, 0.0)

    def acquire(self, key: str, now: float, cost: float = 1) -> float:
        """Take `cost` permits and return 0.0, or return the seconds until they are available."""
        wait_s = self.wait_s(key, now, cost)
        if not wait_s:
            permits = self._permits(key, now) - min(cost, self._burst)
            self._buckets[key] = (permits, now)
        return wait_s

    def expire(self, now: float) -> None:
        """Delete the buckets that are full again."""
        for key in [key for key in self._buckets if self._permits(key, now) >= self._burst]:
            del self._buckets[key]

    def _permits(self, key: str, now: float) -> float:
        permits, counted_at = self._buckets.get(key, (self._burst, now))
        return min(permits + (now - counted_at) * self._per_s, self._burst)
