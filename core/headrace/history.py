"""What a client that comes back can be given again.

One log per process in id order, and beside it an index: for each key (a channel, a group,
everyone) its messages in the same order. The log is bounded in bytes and in age and loses entries
from its left end only, so one id, the `floor`, says exactly what can be promised: whoever has seen
everything up to the floor can be given all that came after. A key that has more than its share of
entries loses its own oldest, and has a floor of its own then.

Append and eviction cost O(1) per key of the message; `since` costs the size of what it returns
and a binary search per key.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping
from heapq import merge
from operator import attrgetter

from headrace import limits
from headrace.message import Message
from headrace.position import START, Position

EVERYONE = "*"
_position_of = attrgetter("position")
_EVICTED = Message(START, "")


def channel_key(client_id: str) -> str:
    """Return the key of the channel of one client."""
    return "@" + client_id


def group_key(group: str) -> str:
    """Return the key of a group."""
    return "#" + group


class _Log:
    """The messages of one key; places of evicted ones are cut off now and then, not one by one."""

    __slots__ = ("floor", "messages", "start")

    def __init__(self) -> None:
        self.floor: Position | None = None  # the last one lost to the key's own bound
        self.messages: list[Message] = []
        self.start = 0

    def __len__(self) -> int:
        return len(self.messages) - self.start

    def evict(self) -> Message:
        oldest = self.messages[self.start]
        self.messages[self.start] = _EVICTED  # so that the message is let go of at once
        self.start += 1
        if self.start * 2 > len(self.messages):
            del self.messages[: self.start]
            self.start = 0
        return oldest

    def since(self, after: Position) -> list[Message]:
        first = bisect_right(self.messages, after, self.start, key=_position_of)
        return self.messages[first:]


class History:
    """The recent messages, by id and by key.

    `floor` is the id up to which a client must have seen everything for a promise to be possible:
    at first the process's start, then the id of the message evicted last.
    """

    __slots__ = ("_entries", "_logs", "_max_age_ms", "_max_bytes", "floor", "latest", "size_bytes")

    def __init__(self, floor: Position, *, max_bytes: int, max_age_s: float) -> None:
        self.floor = floor
        self.latest = floor
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._max_age_ms = int(max_age_s * 1000)
        self._entries: deque[tuple[Message, tuple[str, ...]]] = deque()
        self._logs: dict[str, _Log] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, message: Message, keys: tuple[str, ...]) -> None:
        """Remember `message` under each of `keys`; its id must lie after all earlier ones."""
        self.latest = message.position
        self._entries.append((message, keys))
        self.size_bytes += _cost_bytes(message, keys)
        for key in keys:
            log = self._logs.get(key)
            if log is None:
                log = self._logs[key] = _Log()
            log.messages.append(message)
            if len(log) > limits.HISTORY_KEY_MAX_MESSAGES:
                log.floor = log.evict().position
        while self.size_bytes > self._max_bytes:
            self._evict()

    def entries(self) -> Iterable[tuple[Message, tuple[str, ...]]]:
        """Return all that is remembered: each message with its keys, in order."""
        return self._entries

    def key_floors(self) -> dict[str, Position]:
        """Return the floors of the keys that have lost entries to their own bound."""
        return {key: log.floor for key, log in self._logs.items() if log.floor is not None}

    def begin(self, floor: Position) -> None:
        """Start an empty history at `floor`, as one that goes on from another process's."""
        self.floor = self.latest = floor

    def begin_keys(self, floors: Mapping[str, Position]) -> None:
        """Give keys that have entries the floors they had in another process."""
        for key, floor in floors.items():
            log = self._logs.get(key)
            if log is not None and (log.floor is None or log.floor < floor):
                log.floor = floor

    def expire(self, now_ms: int) -> None:
        """Forget what is older than the greatest age; `now_ms` is the Unix time in milliseconds."""
        oldest_ms = now_ms - self._max_age_ms
        while self._entries and self._entries[0][0].position.ms < oldest_ms:
            self._evict()

    def covers(self, keys: Iterable[str], after: Position) -> bool:
        """Tell whether `since(keys, after)` is certain to be all that there was.

        An id beyond the latest is of some other process's order: nothing can be promised.
        """
        return self.floor_of(keys) <= after <= self.latest

    def floor_of(self, keys: Iterable[str]) -> Position:
        """Return the id from which on `since(keys, …)` is certain to be all that there was."""
        floor = self.floor
        for key in keys:
            log = self._logs.get(key)
            if log is not None and log.floor is not None and log.floor > floor:
                floor = log.floor
        return floor

    def since(self, keys: Iterable[str], after: Position) -> list[Message]:
        """Return the messages of `keys` after the id `after`, in order, each once."""
        runs = [log.since(after) for key in keys if (log := self._logs.get(key)) is not None]
        runs = [run for run in runs if run]
        if len(runs) <= 1:
            return runs[0] if runs else []
        found: list[Message] = []
        for message in merge(*runs, key=_position_of):
            if not found or found[-1] is not message:
                found.append(message)
        return found

    def _evict(self) -> None:
        """Forget the oldest message of all."""
        message, keys = self._entries.popleft()
        self.floor = message.position
        self.size_bytes -= _cost_bytes(message, keys)
        for key in keys:
            log = self._logs[key]
            if len(log) and log.messages[log.start] is message:  # or the key's bound was first
                log.evict()
            if not len(log):
                del self._logs[key]


def _cost_bytes(message: Message, keys: tuple[str, ...]) -> int:
    further = (len(keys) - 1) * limits.HISTORY_KEY_BYTES
    return message.size_bytes + limits.HISTORY_ENTRY_BYTES + further
