"""What waits for the application, in what order it goes, and when what failed is tried again.

    state     next()   taken / done       failed     success elsewhere   a turn is queued
    READY     BUSY     -                  -          -                   READY, before all others
    BUSY      -        READY, or no lane  WAITING    -                   BUSY
    WAITING   BUSY*    -                  -          READY               READY, before all others

    *  when its wait is over

A failed notice makes its own lane wait, longer each time, and the others go on: the fault may be
that one client's. Once `limits.OUTAGE_CLIENTS` clients have failed and none has succeeded in
between, the application is taken to be down: then one notice at a time is tried, at growing waits
of their own, and the first success sets all lanes going again.

Past `limits.NOTICES_MAX_COUNT` the oldest notice that has a newer one of its client is dropped, so
that what each client came to in the end survives longest; where none has, the oldest of all. Times
are arguments, in seconds of the monotonic clock.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable

from headrace import limits
from headrace.presence import Change
from headrace.webhooks.lanes import Lane, Notice, State, Turn


class Outbox:
    """The lanes. `jitter()` returns numbers from 0 to 1."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.dropped = 0
        self.outage = False
        self.size_bytes = 0
        self._jitter = jitter
        self._lanes: dict[str, Lane] = {}
        self._notices: OrderedDict[int, Notice] = OrderedDict()  # the oldest first
        self._numbers = 0
        self._tickets = 0
        self._superseded: list[int] = []  # a heap of numbers, with stale ones
        self._urgent: deque[tuple[int, Lane]] = deque()
        self._ready: deque[tuple[int, Lane]] = deque()
        self._waiting: list[tuple[float, int, Lane]] = []  # a heap
        self._failing: dict[Lane, None] = {}  # those that failed since the last success
        self._probe: Notice | None = None
        self._probe_at = 0.0
        self._probes = 0

    def __len__(self) -> int:
        """How many notices wait or are under way."""
        return len(self._notices)

    @property
    def failing(self) -> bool:
        """Whether something has failed since the last success."""
        return bool(self._failing)

    # --- entries come --------------------------------------------------------------------------

    def put(self, change: Change) -> None:
        """Queue a notice; where there is no room, drop one (`dropped` counts them)."""
        lane = self._lane(change.client_id)
        self._numbers += 1
        notice = Notice(lane, self._numbers, change.connected)
        if lane.newest is not None and not lane.newest.gone:
            heapq.heappush(self._superseded, lane.newest.number)
        lane.newest = self._notices[notice.number] = notice
        self.size_bytes += lane.notice_bytes
        self._append(lane, notice)
        if len(self._superseded) > 2 * len(self._notices) + 64:
            self._superseded = [one for one in self._superseded if one in self._notices]
            heapq.heapify(self._superseded)
        while (
            len(self._notices) > limits.NOTICES_MAX_COUNT
            or self.size_bytes > limits.NOTICES_MAX_BYTES
        ) and (victim := self._victim()):
            self.dropped += 1
            self._forget(victim)
            if victim.lane.state is not State.BUSY:
                self._trim(victim.lane)

    def queue(self, client_id: str, decide: Callable[[bool], None]) -> Turn:
        """Queue a turn behind what waits for the same client; `decide` may be called at once.

        The caller says `done` in the end, also where it goes before its turn has come.
        """
        lane = self._lane(client_id)
        turn = Turn(lane, decide)
        lane.turns += 1
        self._append(lane, turn)
        if lane.state is not State.BUSY:  # somebody waits for it
            self._place(lane)
        return turn

    def done(self, turn: Turn) -> None:
        """Take note that a turn has been used, or is not wanted any more."""
        if turn.gone:
            return
        turn.gone = True
        turn.lane.turns -= 1
        if turn.lane.first is turn:
            turn.lane.state = State.READY
            self._advance(turn.lane)

    # --- entries go ----------------------------------------------------------------------------

    def next(self, now: float) -> Notice | None:
        """Return a notice that is to be tried now; then `taken` or `failed` has to follow."""
        lane = self._pick(now)
        if lane is None:
            return None
        notice = lane.first
        assert isinstance(notice, Notice)
        lane.state = State.BUSY
        if self.outage and self._probe is None:
            self._probe = notice
        return notice

    def next_at(self, now: float) -> float | None:
        """Return when `next` has something, if nothing happens until then; None for never."""
        _clean(self._urgent)
        _clean(self._ready)
        while self._waiting and self._waiting[0][2].ticket != self._waiting[0][1]:
            heapq.heappop(self._waiting)
        if self._urgent:
            return now
        if self.outage:
            probes = self._probe is None and (self._ready or self._waiting)
            return self._probe_at if probes else None
        if self._ready:
            return now
        return self._waiting[0][0] if self._waiting else None

    def taken(self, notice: Notice) -> None:
        """Take note that the application has a notice."""
        lane = notice.lane
        self._forget(notice)
        lane.state = State.READY
        lane.failures = 0
        lane.woken = lane.told = False
        self._failing.pop(lane, None)
        self._advance(lane)
        self.succeeded()

    def failed(self, notice: Notice, now: float, at_least_s: float = 0.0) -> None:
        """Have a notice wait, and refuse the turns behind it: their callers wait for an answer."""
        lane = notice.lane
        entry = notice.next
        while entry is not None:
            if isinstance(entry, Turn) and not entry.gone:
                self.done(entry)
                entry.decide(False)
            entry = entry.next
        lane.failures += 1
        wait_s = self._wait_s(lane.failures, limits.NOTICE_WAIT_MAX_S)
        lane.state = State.WAITING
        heapq.heappush(self._waiting, (now + max(wait_s, at_least_s), self._new_ticket(lane), lane))
        self._failing[lane] = None
        probed = notice is self._probe
        if probed:
            self._probe = None
        if len(self._failing) >= limits.OUTAGE_CLIENTS and (probed or not self.outage):
            self._probes = self._probes + 1 if probed else 1
            self._probe_at = now + self._wait_s(self._probes, limits.PROBE_WAIT_MAX_S)
            self.outage = True

    def succeeded(self) -> None:
        """Take note that the application answers: what failed before is tried again at once.

        But only once for each, if it was no outage: the fault may be its own.
        """
        if not (self._failing or self.outage):
            return
        failing, self._failing = self._failing, {}
        was_outage, self.outage = self.outage, False
        self._probe = None
        for lane in failing:
            if lane.state is State.WAITING and (was_outage or not lane.woken):
                lane.woken = True
                lane.failures = 0
                self._place(lane)

    def wake(self) -> None:
        """Try everything again at once: there is not much time left."""
        self._failing.clear()
        self.outage = False
        self._probe = None
        for lane in self._lanes.values():
            if lane.state is State.WAITING:
                lane.failures = 0
                self._place(lane)

    # --- within --------------------------------------------------------------------------------

    def _lane(self, client_id: str) -> Lane:
        lane = self._lanes.get(client_id)
        if lane is None:
            lane = self._lanes[client_id] = Lane(client_id)
        return lane

    def _append(self, lane: Lane, entry: Notice | Turn) -> None:
        if lane.last is None:
            lane.first = lane.last = entry
            self._advance(lane)
        else:
            lane.last.next = entry
            lane.last = entry

    def _advance(self, lane: Lane) -> None:
        """Go on with a lane whose first entry has been dealt with."""
        self._trim(lane)
        if lane.first is not None and lane.state is not State.BUSY:
            self._place(lane)

    def _trim(self, lane: Lane) -> None:
        """Let go of what is gone at a lane's front; begin with a turn that has come there."""
        first = lane.first
        while first is not None and first.gone:
            first = first.next
        lane.first = first
        if first is None:
            lane.last = lane.newest = None
            lane.ticket = 0
            self._failing.pop(lane, None)
            del self._lanes[lane.client_id]
        elif isinstance(first, Turn):
            lane.state = State.BUSY
            self._new_ticket(lane)
            first.decide(True)

    def _place(self, lane: Lane) -> None:
        """Queue a lane to be picked."""
        lane.state = State.READY
        queue = self._urgent if lane.turns else self._ready
        queue.append((self._new_ticket(lane), lane))

    def _new_ticket(self, lane: Lane) -> int:
        self._tickets += 1
        lane.ticket = self._tickets
        return lane.ticket

    def _pick(self, now: float) -> Lane | None:
        at = self.next_at(now)
        if at is None or at > now:
            return None
        if self._urgent:
            return self._urgent.popleft()[1]
        if (self._waiting and self._waiting[0][0] <= now) or not self._ready:
            return heapq.heappop(self._waiting)[2]
        return self._ready.popleft()[1]

    def _wait_s(self, failures: int, max_s: float) -> float:
        longest_s = min(limits.NOTICE_WAIT_FIRST_S * 2.0 ** min(failures - 1, 30), max_s)
        return longest_s * (0.5 + self._jitter() / 2)

    def _victim(self) -> Notice | None:
        """Return the notice to be dropped; what is under way is none."""
        passed = []
        found = None
        while self._superseded and found is None:
            notice = self._notices.get(heapq.heappop(self._superseded))
            if notice is None or notice is notice.lane.newest:
                continue
            if _is_under_way(notice):
                passed.append(notice.number)
            else:
                found = notice
        for number in passed:
            heapq.heappush(self._superseded, number)
        if found is None:
            found = next((one for one in self._notices.values() if not _is_under_way(one)), None)
            if found is not None and isinstance(found.lane.first, Notice):
                found.lane.newest = found.lane.first  # if that is under way, it is the newest again
        return found

    def _forget(self, notice: Notice) -> None:
        notice.gone = True
        del self._notices[notice.number]
        self.size_bytes -= notice.lane.notice_bytes


def _is_under_way(notice: Notice) -> bool:
    return not notice.gone and notice.lane.first is notice and notice.lane.state is State.BUSY


def _clean(queue: deque[tuple[int, Lane]]) -> None:
    while queue and queue[0][1].ticket != queue[0][0]:
        queue.popleft()
