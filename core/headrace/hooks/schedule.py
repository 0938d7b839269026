"""Which client's queue is next."""

import heapq
from collections import deque

from headrace.hooks.client_queue import ClientQueue


class Schedule:
    """The queues whose first notice can be sent, now or after a wait.

    A queue has one place at most: each `add_…` replaces the earlier one, and so does `remove`.
    Replaced places stay behind as stale items; see `ClientQueue.schedule_id`.
    """

    def __init__(self) -> None:
        self._last_id = 0
        self._priority: deque[tuple[int, ClientQueue]] = deque()
        self._ready: deque[tuple[int, ClientQueue]] = deque()
        self._waiting: list[tuple[float, int, ClientQueue]] = []  # a heap
        self._prefers_waiting = True

    def add_ready(self, queue: ClientQueue) -> None:
        """Add a queue without a wait, with priority if an update-message waits in it."""
        places = self._priority if queue.call_count else self._ready
        places.append((self._new_id(queue), queue))

    def add_waiting(self, queue: ClientQueue, at: float) -> None:
        """Add a queue that is due at `at`."""
        heapq.heappush(self._waiting, (at, self._new_id(queue), queue))

    def remove(self, queue: ClientQueue) -> None:
        """Remove a queue, if it has a place."""
        queue.schedule_id = 0

    @property
    def has_priority(self) -> bool:
        """True if a queue with priority is ready."""
        _pop_stale(self._priority)
        return bool(self._priority)

    def next_at(self, now: float) -> float | None:
        """Return when the next queue is due, `now` or later; None if there is no queue."""
        _pop_stale(self._ready)
        while self._waiting and self._waiting[0][2].schedule_id != self._waiting[0][1]:
            heapq.heappop(self._waiting)
        if self.has_priority or self._ready:
            return now
        return self._waiting[0][0] if self._waiting else None

    def pop(self, now: float) -> ClientQueue:
        """Remove and return the next queue, due or not; there must be one.

        Queues that are ready and queues whose wait is over take turns, so that neither many
        failures nor many new notices delay the others.
        """
        next_at = self.next_at(now)
        assert next_at is not None
        if self._priority:
            return self._priority.popleft()[1]
        is_due = bool(self._waiting) and self._waiting[0][0] <= now
        if self._ready and not (is_due and self._prefers_waiting):
            self._prefers_waiting = True
            return self._ready.popleft()[1]
        self._prefers_waiting = False
        return heapq.heappop(self._waiting)[2]

    def _new_id(self, queue: ClientQueue) -> int:
        self._last_id += 1
        queue.schedule_id = self._last_id
        return queue.schedule_id


def _pop_stale(places: deque[tuple[int, ClientQueue]]) -> None:
    while places and places[0][1].schedule_id != places[0][0]:
        places.popleft()
