"""The log of everything that one client received, for the verification after the run.

The rules for a correct client are implemented here, because all transports share them:

- A client resumes after its *position*: the ID of the last complete message, of the last `open`, or
  of the last ping with an ID. Before it has received any of these, the position is the token's
  `pos`.
- `open` with `recovered` true or null moves the position to the ID of `open`: nothing was lost.
- `open` with `recovered` false reports a gap from the position to the ID of `open`, inclusive.
- `gap` reports a gap between its two IDs, both exclusive.
- Nothing is discarded: an ID that is not after the position is a violation.
"""

from collections import Counter, deque
from time import monotonic
from typing import NamedTuple
from zlib import crc32

from tests.checker.message_id import MessageId, format_id, parse_id

TRACE_LINES = 60
_TRACED_VIOLATIONS = 20


class Delivery(NamedTuple):
    """A message as it was received."""

    id: MessageId
    key: str
    crc: int
    group: str | None


class ReportedGap(NamedTuple):
    """A loss that was reported to the client: the IDs between `after` and `end`.

    `end` belongs to the gap if `end_included`.
    """

    after: MessageId
    end: MessageId
    end_included: bool
    reported_by: str

    def covers(self, message_id: MessageId) -> bool:
        """Return True if the loss of this message was reported."""
        return self.after < message_id and (
            message_id < self.end or (self.end_included and message_id == self.end)
        )

    def __str__(self) -> str:
        bracket = "]" if self.end_included else ")"
        return f"({format_id(self.after)}, {format_id(self.end)}{bracket}"


class Violation(NamedTuple):
    """A broken guarantee: its kind, and a line that describes it."""

    kind: str
    text: str


class DeliveryLog:
    """The log of one client.

    `position` is where the client resumes, `initial_position` where its first connection starts,
    and `opened` is true after the first `open`.
    """

    def __init__(self, client_id: str, transport: str, position: MessageId) -> None:
        self.client_id = client_id
        self.transport = transport
        self.initial_position = self.position = position
        self.opened = False
        self.deliveries: list[Delivery] = []
        self.gaps: list[ReportedGap] = []
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.trace: deque[str] = deque(maxlen=TRACE_LINES)
        self._seen: set[MessageId] = set()
        self._started = monotonic()

    def add_trace(self, text: str) -> None:
        """Add an event to the trace, which is printed with a violation."""
        self.trace.append(f"{monotonic() - self._started:8.3f} s  {text}")

    def add_violation(self, kind: str, text: str) -> None:
        """Record a broken guarantee."""
        if len(self.violations) < _TRACED_VIOLATIONS:
            self.add_trace(f"VIOLATION {kind}: {text}")
        self.violations.append(Violation(kind, text))

    @property
    def last_id(self) -> str:
        """The position in the wire format, for the next connection."""
        return format_id(self.position)

    def add_open(self, id_field: object, recovered: object, *, resumed: bool) -> None:
        """Record an `open`; `resumed` is true if the connection sent a last ID."""
        position = parse_id(id_field)
        self.counts["opens"] += 1
        self.add_trace(f"open id={id_field} recovered={recovered} position={self.last_id}")
        if recovered is False:
            self._add_gap(ReportedGap(self.position, position, True, "open"), "recovered false")
        elif (recovered is True) != resumed or recovered not in (True, None):
            self.add_violation(
                "protocol", f"recovered is {recovered}, and last_id was sent: {resumed}"
            )
        if recovered is not False and position < self.position:
            self.add_violation(
                "protocol", f"open moves the position back from {self.last_id} to {id_field}"
            )
        self.opened = True
        self.position = position

    def add_ping(self, id_field: object) -> None:
        """Record a ping. If it has an ID, there are no further messages up to that ID."""
        if id_field is None:
            return
        position = parse_id(id_field)
        if position < self.position:
            self.add_violation(
                "protocol", f"a ping moves the position back from {self.last_id} to {id_field}"
            )
        self.position = position

    def add_gap(self, after: object, before: object) -> None:
        """Record a `gap` frame."""
        gap = ReportedGap(parse_id(after), parse_id(before), False, "gap")
        self.add_trace(f"gap {gap} position={self.last_id}")
        self._add_gap(gap, "gap frames")

    def add_poll_gap(self, end: MessageId, *, end_included: bool) -> None:
        """Record the `"recovered":false` of a poll response, before its messages."""
        gap = ReportedGap(self.position, end, end_included, "poll")
        self.add_trace(f"poll gap {gap}")
        self._add_gap(gap, "recovered false")

    def add_page_gap(self, after: object, before: object) -> None:
        """Record a `gap` event of the JavaScript client, after a lost connection."""
        after_id = self.position if after is None else parse_id(after)
        gap = ReportedGap(after_id, parse_id(before), True, "open")
        self.add_trace(f"gap {gap}")
        self._add_gap(gap, "recovered false")

    def _add_gap(self, gap: ReportedGap, counter: str) -> None:
        self.counts[counter] += 1
        self.gaps.append(gap)

    def add_poll_end(self, last_id: object) -> None:
        """Record the `last_id` of a poll response, after its messages."""
        self.opened = True
        position = parse_id(last_id)
        if position < self.position:
            self.add_violation(
                "protocol", f"a poll moves the position back from {self.last_id} to {last_id}"
            )
        self.position = position

    def add_message(self, id_field: object, data: str, group: str | None) -> str:
        """Record a message; return its key, which names the publisher and the message's number."""
        message_id = parse_id(id_field)
        key = data.partition(" ")[0]
        if message_id <= self.position:
            if message_id in self._seen:
                self.add_violation("duplicate", f"{id_field} ({key}) was received again")
            else:
                self.add_violation("order", f"{id_field} ({key}) was received after {self.last_id}")
        else:
            self.position = message_id
        self._seen.add(message_id)
        self.deliveries.append(Delivery(message_id, key, crc32(data.encode()), group))
        return key
