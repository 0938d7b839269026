"""All pending presence notices, and which of them is dropped if they are too many.

Over a limit, the oldest notice that is superseded by a newer one of its client is dropped, so that
each client's final state is kept longest. If no notice is superseded, the oldest of all is dropped.
A notice in flight is never dropped.
"""

import heapq
from collections import OrderedDict

from headrace.hooks.client_queue import ClientQueue, PresenceNotice

NOTICES_MAX_COUNT = 100_000
NOTICES_MAX_BYTES = 64 * 1024 * 1024
"""Limits of the pending notices of all clients."""


class PendingNotices:
    """The notices of all clients; `size_bytes` is the memory that they use."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._notices: OrderedDict[int, PresenceNotice] = OrderedDict()  # the oldest first
        self._superseded: list[int] = []  # a heap of numbers, some of notices that were removed
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._notices)

    def add(self, queue: ClientQueue, connected: bool) -> PresenceNotice:
        """Return a new notice, the newest of its client; the caller appends it to `queue`."""
        self._last_number += 1
        notice = PresenceNotice(queue, self._last_number, connected)
        if queue.newest_notice is not None and not queue.newest_notice.removed:
            heapq.heappush(self._superseded, queue.newest_notice.number)
        queue.newest_notice = self._notices[notice.number] = notice
        self.size_bytes += queue.notice_bytes
        if len(self._superseded) > 2 * len(self._notices) + 64:
            self._superseded = [number for number in self._superseded if number in self._notices]
            heapq.heapify(self._superseded)
        return notice

    def remove(self, notice: PresenceNotice) -> None:
        """Remove a notice; it stays linked in its queue, marked as removed."""
        notice.removed = True
        del self._notices[notice.number]
        self.size_bytes -= notice.queue.notice_bytes

    def evict(self) -> PresenceNotice | None:
        """Remove and return one notice while they are over a limit, else return None."""
        if len(self._notices) <= NOTICES_MAX_COUNT and self.size_bytes <= NOTICES_MAX_BYTES:
            return None
        notice = self._oldest_superseded() or self._oldest()
        if notice is not None:
            self.remove(notice)
        return notice

    def _oldest_superseded(self) -> PresenceNotice | None:
        found = None
        in_flight = []
        while self._superseded and found is None:
            notice = self._notices.get(heapq.heappop(self._superseded))
            if notice is None or notice is notice.queue.newest_notice:
                continue
            if notice.in_flight:
                in_flight.append(notice.number)
            else:
                found = notice
        for number in in_flight:
            heapq.heappush(self._superseded, number)
        return found

    def _oldest(self) -> PresenceNotice | None:
        notice = next((one for one in self._notices.values() if not one.in_flight), None)
        if notice is not None and isinstance(notice.queue.first, PresenceNotice):
            # If the queue's first notice is in flight, it is the newest of its client again.
            notice.queue.newest_notice = notice.queue.first
        return notice
