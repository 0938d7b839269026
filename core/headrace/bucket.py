"""Token buckets: how often each client may do something, with bursts allowed.

A bucket holds at most `burst` permits, fills at `per_s` permits a second, and is full at first.
Only buckets that are not full are kept. `now` is monotonic time in seconds.
"""


class Buckets:
    """One bucket for each key."""

    __slots__ = ("_buckets", "_burst", "_per_s")

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}  # permits, and when they were counted

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> float:
        """Take a permit and return 0.0, or return after how many seconds there will be one."""
        permits, counted_at = self._buckets.get(key, (float(self._burst), now))
        permits = min(permits + (now - counted_at) * self._per_s, self._burst)
        if permits < 1:
            return (1 - permits) / self._per_s
        self._buckets[key] = (permits - 1, now)
        return 0.0

    def expire(self, now: float) -> None:
        """Forget the buckets that are full again."""
        for key, (permits, counted_at) in list(self._buckets.items()):
            if permits + (now - counted_at) * self._per_s >= self._burst:
                del self._buckets[key]
