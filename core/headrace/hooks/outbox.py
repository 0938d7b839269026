"""Pending notices and update-messages: their order, their retries, and the limit of their number.

An `Outbox` has no socket and no clock: times are arguments, in seconds of a monotonic clock. It
holds one `ClientQueue` per client. An attempt ends with a call of `delivered`, `rejected` (the
application responded with an error) or `unreachable` (it did not respond).

    state        next_notice  delivered    rejected   unreachable  responded  enqueue_call
                              finish_call
    READY        IN_FLIGHT    -            -          -            -          READY, first
    IN_FLIGHT    -            READY +      REJECTED @ UNREACHABLE  -          IN_FLIGHT
    REJECTED     IN_FLIGHT *  -            -          -            -          REJECTED
    UNREACHABLE  IN_FLIGHT *  -            -          -            READY %    READY, first

    *      when its wait is over
    +      for its next entry; the queue is removed if it has none
    @      or as after `delivered`, if this was the notice's last attempt: the notice is dropped
    %      the application has responded to another client; see `application_responded`
    first  before the queues of clients for which no update-message is waiting

`retry_all` makes every REJECTED or UNREACHABLE queue READY.

A failed notice delays its own client only, longer after each failure, because the fault may be
specific to that client. A notice that is rejected is dropped after `max_attempts` rejections. One
that gets no response is retried without end. Once `OUTAGE_CLIENTS` clients have got no response,
and no client has got one in between, the outbox assumes an outage of the application: it then
allows one notice at a time, as a probe, with growing waits between the probes. The first response
of any status ends the outage and the waits of the clients that got no response.

`pending_notices.py` limits the number of notices, `schedule.py` chooses the next client.
"""

from collections import Counter
from collections.abc import Callable
from enum import Enum

from headrace.errors import StateError
from headrace.hooks.client_queue import ClientQueue, PresenceNotice, QueuedCall, QueueState
from headrace.hooks.pending_notices import PendingNotices
from headrace.hooks.schedule import Schedule
from headrace.hub.presence import PresenceChange

RETRY_WAIT_FIRST_S = 0.25
RETRY_WAIT_MAX_S = 10.0
"""The longest wait before a retry: after the first failure, and after any number of failures."""

OUTAGE_CLIENTS = 3
"""Clients without a response in a row before the outbox assumes an outage."""

PROBE_WAIT_MAX_S = 2.0
"""The longest wait between two probes of an application that is down."""


class DropReason(Enum):
    """Why a notice was dropped."""

    OVERFLOW = "overflow"  # too many notices were pending
    REJECTED = "rejected"  # the application responded to every attempt with an error


class Outbox:
    """The queues of all clients. `jitter()` returns numbers from 0 to 1."""

    def __init__(self, jitter: Callable[[], float], max_attempts: int) -> None:
        self.dropped: Counter[DropReason] = Counter()
        self.outage = False
        self._jitter = jitter
        self._max_attempts = max_attempts
        self._queues: dict[str, ClientQueue] = {}
        self._notices = PendingNotices()
        self._schedule = Schedule()
        self._unreachable: dict[ClientQueue, None] = {}  # since the last response
        self._probe: PresenceNotice | None = None
        self._probe_at = 0.0
        self._probe_failures = 0

    def __len__(self) -> int:
        """Return the number of notices that are pending or in flight."""
        return len(self._notices)

    @property
    def size_bytes(self) -> int:
        """Memory of the notices that are pending or in flight."""
        return self._notices.size_bytes

    @property
    def is_all_rejected(self) -> bool:
        """True if the first entry of each client is a notice that the application has rejected."""
        firsts = (queue.first for queue in self._queues.values())
        return all(isinstance(first, PresenceNotice) and first.rejections for first in firsts)

    # --- adding --------------------------------------------------------------------------------

    def enqueue(self, change: PresenceChange) -> None:
        """Add a notice; over a limit, drop one and count it in `dropped`."""
        queue = self._queue_of(change.client_id)
        self._append(queue, self._notices.add(queue, change.connected))
        while (evicted := self._notices.evict()) is not None:
            self.dropped[DropReason.OVERFLOW] += 1
            if evicted.queue.state is not QueueState.IN_FLIGHT:
                self._pop_removed(evicted.queue)

    def enqueue_call(self, client_id: str, resolve: Callable[[bool], None]) -> QueuedCall:
        """Add an update-message behind the client's entries; `resolve` may be called at once.

        A notice before it that got no response is retried at once, because the sender of the
        message is waiting. One that was rejected is not: its attempts are limited. The caller must
        call `finish_call` in the end, also if it gives up before `resolve`.
        """
        queue = self._queue_of(client_id)
        call = QueuedCall(queue, resolve)
        queue.call_count += 1
        self._append(queue, call)
        if queue.state in (QueueState.READY, QueueState.UNREACHABLE):
            self._make_ready(queue)
        return call

    def finish_call(self, call: QueuedCall) -> None:
        """Remove an update-message that was sent or given up; a second time changes nothing."""
        if call.removed:
            return
        call.removed = True
        call.queue.call_count -= 1
        if call.queue.first is call:
            call.queue.state = QueueState.READY
            self._advance(call.queue)

    # --- sending -------------------------------------------------------------------------------

    def next_notice(self, now: float) -> PresenceNotice | None:
        """Return a notice to send now, if any; call the method of its outcome when it has ended."""
        at = self.next_attempt_at(now)
        if at is None or at > now:
            return None
        queue = self._schedule.pop(now)
        notice = queue.first
        assert isinstance(notice, PresenceNotice)
        queue.state = QueueState.IN_FLIGHT
        if self.outage and self._probe is None:
            self._probe = notice
        return notice

    def next_attempt_at(self, now: float) -> float | None:
        """Return when `next_notice` has a notice if nothing else happens; None for never."""
        at = self._schedule.next_at(now)
        if at is None or not self.outage or self._schedule.has_priority:
            return at
        return self._probe_at if self._probe is None else None

    def delivered(self, notice: PresenceNotice) -> None:
        """Remove a notice that the application has taken."""
        _check_in_flight(notice)
        self._remove(notice)
        self.application_responded()

    def rejected(self, notice: PresenceNotice, now: float, retry_after_s: float = 0.0) -> bool:
        """Schedule the retry of a notice to which the application responded with an error.

        After the last attempt, drop it and return True. `retry_after_s` is the shortest wait that
        the application asked for; it is limited to `RETRY_WAIT_MAX_S`.
        """
        _check_in_flight(notice)
        notice.rejections += 1
        is_last = notice.rejections >= self._max_attempts
        if is_last:
            self.dropped[DropReason.REJECTED] += 1
            self._remove(notice)
        else:
            self._got_response(notice.queue)
            self._wait(notice, QueueState.REJECTED, now, min(retry_after_s, RETRY_WAIT_MAX_S))
        self.application_responded()
        return is_last

    def unreachable(self, notice: PresenceNotice, now: float) -> None:
        """Schedule the retry of a notice to which the application did not respond."""
        _check_in_flight(notice)
        self._wait(notice, QueueState.UNREACHABLE, now)
        self._unreachable[notice.queue] = None
        is_probe = notice is self._probe
        if is_probe:
            self._probe = None
        if len(self._unreachable) >= OUTAGE_CLIENTS and (is_probe or not self.outage):
            self._probe_failures = self._probe_failures + 1 if is_probe else 1
            self._probe_at = now + self._wait_s(self._probe_failures, PROBE_WAIT_MAX_S)
            self.outage = True

    def application_responded(self) -> None:
        """End the outage, and retry at once the clients that got no response.

        Unless there was an outage, this ends a client's wait only once until the next response to
        that client, because the fault may be specific to it.
        """
        if not (self._unreachable or self.outage):
            return
        unreachable, self._unreachable = self._unreachable, {}
        was_outage = self.outage
        self._end_outage()
        for queue in unreachable:
            if queue.state is QueueState.UNREACHABLE and (was_outage or not queue.retried_early):
                queue.retried_early = True
                queue.failures = 0
                self._make_ready(queue)

    def retry_all(self) -> None:
        """Retry everything at once, without an outage: the server is about to stop."""
        self._unreachable.clear()
        self._end_outage()
        for queue in self._queues.values():
            if queue.state in (QueueState.REJECTED, QueueState.UNREACHABLE):
                queue.failures = 0
                self._make_ready(queue)

    # --- attempts ------------------------------------------------------------------------------

    def _remove(self, notice: PresenceNotice) -> None:
        """Remove a notice after its last attempt."""
        queue = notice.queue
        self._notices.remove(notice)
        self._got_response(queue)
        queue.state = QueueState.READY
        queue.failures = 0
        self._advance(queue)

    def _wait(
        self, notice: PresenceNotice, state: QueueState, now: float, min_s: float = 0.0
    ) -> None:
        """Schedule a notice's retry, and reject the update-messages behind it.

        They are rejected because their senders are waiting.
        """
        queue = notice.queue
        entry = notice.next
        while entry is not None:
            if isinstance(entry, QueuedCall) and not entry.removed:
                self.finish_call(entry)
                entry.resolve(False)
            entry = entry.next
        queue.failures += 1
        queue.state = state
        wait_s = max(self._wait_s(queue.failures, RETRY_WAIT_MAX_S), min_s)
        self._schedule.add_waiting(queue, now + wait_s)

    def _wait_s(self, failures: int, max_s: float) -> float:
        longest_s = min(RETRY_WAIT_FIRST_S * 2.0 ** min(failures - 1, 30), max_s)
        return longest_s * (0.5 + self._jitter() / 2)

    def _got_response(self, queue: ClientQueue) -> None:
        queue.retried_early = queue.unreachable_logged = False
        self._unreachable.pop(queue, None)

    def _end_outage(self) -> None:
        self.outage = False
        self._probe = None

    # --- queues --------------------------------------------------------------------------------

    def _queue_of(self, client_id: str) -> ClientQueue:
        queue = self._queues.get(client_id)
        if queue is None:
            queue = self._queues[client_id] = ClientQueue(client_id)
        return queue

    def _append(self, queue: ClientQueue, entry: PresenceNotice | QueuedCall) -> None:
        if queue.last is None:
            queue.first = queue.last = entry
            self._advance(queue)
        else:
            queue.last.next = entry
            queue.last = entry

    def _advance(self, queue: ClientQueue) -> None:
        """Continue with a queue whose first entry is new or removed."""
        self._pop_removed(queue)
        if queue.first is not None and queue.state is not QueueState.IN_FLIGHT:
            self._make_ready(queue)

    def _pop_removed(self, queue: ClientQueue) -> None:
        """Pop removed entries; delete the queue if it is empty, start a call if it is first."""
        first = queue.first
        while first is not None and first.removed:
            first = first.next
        queue.first = first
        if first is None:
            queue.last = queue.newest_notice = None
            self._schedule.remove(queue)
            self._unreachable.pop(queue, None)
            del self._queues[queue.client_id]
        elif isinstance(first, QueuedCall):
            queue.state = QueueState.IN_FLIGHT
            self._schedule.remove(queue)
            first.resolve(True)

    def _make_ready(self, queue: ClientQueue) -> None:
        queue.state = QueueState.READY
        self._schedule.add_ready(queue)


def _check_in_flight(notice: PresenceNotice) -> None:
    if not notice.in_flight:
        raise StateError(f"notice {notice.number} is not in flight, so its attempt cannot end")
