"""What one client lived through, as it happened; the verdict reads it afterwards.

The rules that a right client follows are here, because all transports share them:

- It resumes after its *position*: the id of the last message that it received whole, of the last
  `open`, or of the last ping that names one; before any of these, its token's `pos`.
- `open` with `recovered` true or null moves the position to the id of `open`: nothing was lost.
- `open` with `recovered` false notes a gap from the position up to and with the id of `open`.
- `gap` notes a gap between its two ids, both exclusive.
- Nothing is dropped: an id that is not after the position is a violation.
"""

from collections import Counter, deque
from time import monotonic
from typing import NamedTuple
from zlib import crc32

from tests.checker.ids import Id, id_text, parse_id

TRACE_LINES = 60


class Receipt(NamedTuple):
    """A message as it was received."""

    id: Id
    key: str
    crc: int
    group: str | None


class Gap(NamedTuple):
    """A loss that was told: the ids after `after`, up to `end`, which is part of it if `closed`."""

    after: Id
    end: Id
    closed: bool
    told_by: str

    def covers(self, position: Id) -> bool:
        """Tell whether a message with this id counts as told."""
        return self.after < position and (
            position < self.end or (self.closed and position == self.end)
        )

    def __str__(self) -> str:
        return f"({id_text(self.after)}, {id_text(self.end)}{']' if self.closed else ')'}"


class Violation(NamedTuple):
    """A broken promise, and a line that says which."""

    kind: str
    text: str


class Journal:
    """The record of one client. `position` is where it resumes; `opened` after the first `open`."""

    def __init__(self, client_id: str, transport: str, position: Id) -> None:
        self.client_id = client_id
        self.transport = transport
        self.began = self.position = position
        self.opened = False
        self.received: list[Receipt] = []
        self.gaps: list[Gap] = []
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.trace: deque[str] = deque(maxlen=TRACE_LINES)
        self._seen: set[Id] = set()
        self._epoch = monotonic()

    def note(self, text: str) -> None:
        """Remember an incident for the trace."""
        self.trace.append(f"{monotonic() - self._epoch:8.3f} s  {text}")

    def violate(self, kind: str, text: str) -> None:
        """Record a broken promise, with what led to it."""
        if len(self.violations) < 20:
            self.note(f"VIOLATION {kind}: {text}")
        self.violations.append(Violation(kind, text))

    @property
    def last_id(self) -> str:
        """The position as the next connection names it."""
        return id_text(self.position)

    def open(self, id_field: object, recovered: object, *, resumed: bool) -> None:
        """Take the `open` of a connection that did or did not name a last id."""
        position = parse_id(id_field)
        self.counts["opens"] += 1
        self.note(f"open id={id_field} recovered={recovered} position={self.last_id}")
        if recovered is False:
            self.counts["recovered false"] += 1
            self.gaps.append(Gap(self.position, position, True, "open"))
        elif (recovered is True) != resumed or recovered not in (True, None):
            self.violate("protocol", f"recovered is {recovered} where last_id was sent: {resumed}")
        if recovered is not False and position < self.position:
            self.violate("protocol", f"open goes back from {self.last_id} to {id_field}")
        self.opened = True
        self.position = position

    def ping(self, id_field: object) -> None:
        """Take a ping, which may name an id up to which there was nothing more."""
        if id_field is None:
            return
        position = parse_id(id_field)
        if position < self.position:
            self.violate("protocol", f"a ping goes back from {self.last_id} to {id_field}")
        self.position = position

    def gap(self, after: object, before: object) -> None:
        """Take a `gap` notice."""
        gap = Gap(parse_id(after), parse_id(before), False, "gap")
        self.counts["gap notices"] += 1
        self.note(f"gap {gap} position={self.last_id}")
        self.gaps.append(gap)

    def poll_lost(self, end: Id, *, closed: bool) -> None:
        """Take the `"recovered":false` of a poll, before its messages."""
        gap = Gap(self.position, end, closed, "poll")
        self.counts["recovered false"] += 1
        self.note(f"poll lost {gap}")
        self.gaps.append(gap)

    def polled(self, last_id: object) -> None:
        """Take the end of a poll's answer."""
        self.opened = True
        position = parse_id(last_id)
        if position < self.position:
            self.violate("protocol", f"a poll goes back from {self.last_id} to {last_id}")
        self.position = position

    def message(self, id_field: object, data: str, group: str | None) -> str:
        """Take a message; return its key, which says who sent it and with which number."""
        position = parse_id(id_field)
        key = data.partition(" ")[0]
        if position <= self.position:
            if position in self._seen:
                self.violate("duplicate", f"{id_field} ({key}) came again")
            else:
                self.violate("order", f"{id_field} ({key}) came after {self.last_id}")
        else:
            self.position = position
        self._seen.add(position)
        self.received.append(Receipt(position, key, crc32(data.encode()), group))
        return key
