"""Recent messages, kept so that reconnecting clients can resume.

The history is one log per process in the order of ids, and an index: for each key (a client's
channel, a group, everyone) its entries in the same order.

An entry leaves the log when it is too old, when the history is full, or when the last of its keys
has dropped it; its bytes are free again at once. If the history is full, the largest key that has
more than one `KEY_SHARE`-th of the bound drops its oldest entry. If no key has so much, the oldest
entry of all is evicted. So a flood in one channel or group evicts its own messages first, and while
there is room a single key may use all of it. A key also drops its oldest entry when it has more
than `KEY_MAX_MESSAGES`. The keys of an entry share its bytes equally, so the keys over their share
are always few.

Each key has a floor, the id of the last message lost under it. A client that has everything up to
the floors of its keys can resume without loss. Floors outlive the messages, because otherwise a
client whose keys were quiet would be told of losses that concern only others. The number of floors
is bounded: when one is dropped, its id becomes the floor of all keys without one of their own.

The age of a message is the age of its id. If the clock was set back, ids are in the future; then
the time since the message was appended counts, on the monotonic clock.

`size_bytes` estimates the real memory: the data as Python holds it, one encoding, the objects
around them, and the index. docs/history.md compares the estimate with measurements.

Append and eviction take O(1), amortised, for each key of the message, a floor O(1) for each key.
`messages_after` takes a binary search for each key and copies references to its result.
"""

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter

import msgspec

from headrace.hub.replay import Replay
from headrace.messages.message import Message
from headrace.messages.position import START, Position

EVERYONE = "*"
"""The key of the messages to all clients."""

# Memory in bytes, measured by bench/system/history.py.
ENTRY_BYTES = 450
"""The objects of one entry, beside the data and its encoding."""
KEY_BYTES = 72
"""Each key of an entry, and the group's name in the message; its characters are counted too."""
ALLOCATOR_SHARE = 8
"""Rounding and gaps of the allocators: one byte more for every 8 of data and encoding."""
LOG_BYTES = 210
"""Each key that has entries."""
FLOOR_BYTES = 320
"""Each floor."""
KEY_SHARE = 8
"""When the history is full, a key over one eighth of the history's bound loses messages first."""
KEY_MAX_MESSAGES = 16 * 1024
"""Entries of one key, which bounds what a resuming client is sent."""

FLOORS_MAX_KEYS = 64 * 1024
"""Floors at a time; the oldest is dropped first."""
FLOORS_SHARE = 4
"""The floors may take one byte of every 4 of the history's bound."""

ARRIVALS_MAX_COUNT = 256
"""Into how many parts the maximum age is divided to note when messages were appended."""

_position_of = attrgetter("message.position")
_EVICTED = Message(START, "")


def channel_key(client_id: str) -> str:
    """Return the key of a client's channel."""
    return "@" + client_id


def group_key(group: str) -> str:
    """Return the key of a group."""
    return "#" + group


class _Entry(msgspec.Struct, gc=False):  # a Struct because making one costs no Python call
    """A message in the log. `holders` is the number of its keys that have not dropped it."""

    message: Message
    keys: tuple[str, ...]
    cost_bytes: int
    holders: int


_NO_ENTRY = _Entry(_EVICTED, (), 0, 0)


class _KeyLog(msgspec.Struct):
    """The entries of one key from index `start`; the space before it is reclaimed in batches."""

    entries: list[_Entry] = []
    start: int = 0
    size_bytes: int = 0  # the key's part of the bytes of its entries
    floor: Position = START  # the last message that the key dropped

    def pop_oldest(self) -> _Entry:
        entries, start = self.entries, self.start
        oldest = entries[start]
        entries[start] = _NO_ENTRY  # releases the entry at once
        self.start = start = start + 1
        if start * 2 > len(entries):
            del entries[:start]
            self.start = 0
        self.size_bytes -= oldest.cost_bytes // len(oldest.keys)
        return oldest

    def messages_after(self, after: Position) -> list[Message]:
        first = bisect_right(self.entries, after, self.start, key=_position_of)
        return [entry.message for entry in self.entries[first:]]


def _size_of(item: tuple[str, _KeyLog]) -> tuple[int, str]:
    key, log = item
    return log.size_bytes, key  # the key decides between equal sizes


class History:
    """The recent messages, by id and by key.

    `latest` is the newest id. `floor` is the floor of every key that has none of its own: at first
    the id where this process starts, later the id of the newest floor that was dropped.
    `size_bytes` is the memory of the messages and their index.
    """

    __slots__ = (
        "_arrivals",
        "_floors",
        "_freed",
        "_key_max_bytes",
        "_large",
        "_log",
        "_logs",
        "_max_age_s",
        "_max_bytes",
        "_max_floors",
        "floor",
        "latest",
        "size_bytes",
    )

    def __init__(self, floor: Position, *, max_bytes: int, max_age_s: float) -> None:
        self.floor = floor
        self.latest = floor
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._key_max_bytes = max_bytes // KEY_SHARE
        self._max_age_s = max_age_s
        # An entry that all its keys have dropped stays as an empty one until it is the oldest, or
        # until half of the log is such entries. The oldest entry is never empty.
        self._log: deque[_Entry] = deque()
        self._freed = 0  # the number of empty entries
        self._logs: dict[str, _KeyLog] = {}
        # The keys over their share that have more than one entry: fewer than `KEY_SHARE`.
        self._large: dict[str, _KeyLog] = {}
        # For each key the last message evicted from the log, in the order of ids. What a key
        # dropped itself is newer, and is in its `_KeyLog`.
        self._floors: OrderedDict[str, Position] = OrderedDict()
        self._max_floors = min(FLOORS_MAX_KEYS, max_bytes // FLOORS_SHARE // FLOOR_BYTES)
        # Up to which id the log was appended, and when that was found.
        self._arrivals: deque[tuple[Position, float]] = deque()

    def __len__(self) -> int:
        return len(self._log) - self._freed

    @property
    def floors_bytes(self) -> int:
        """The memory of the floors; the bound in bytes includes it."""
        return len(self._floors) * FLOOR_BYTES

    def append(self, message: Message, keys: tuple[str, ...]) -> None:
        """Store `message` under each of `keys`; its id must be newer than all before it."""
        self.latest = message.position
        cost_bytes = message.memory_bytes()
        cost_bytes += cost_bytes // ALLOCATOR_SHARE + ENTRY_BYTES + KEY_BYTES * len(keys)
        if message.group is not None:
            cost_bytes += KEY_BYTES + len(message.group)
        for key in keys:
            cost_bytes += len(key)
        entry = _Entry(message, keys, cost_bytes, len(keys))
        self._log.append(entry)
        self.size_bytes += cost_bytes
        part_bytes = cost_bytes // len(keys)
        for key in keys:
            log = self._logs.get(key)
            if log is None:
                log = self._logs[key] = _KeyLog()
                self.size_bytes += LOG_BYTES
            log.entries.append(entry)
            log.size_bytes += part_bytes
            count = len(log.entries) - log.start
            if count > KEY_MAX_MESSAGES:
                self._drop_oldest(key, log)
            elif count > 1 and log.size_bytes > self._key_max_bytes:
                self._large[key] = log
        while self.size_bytes + len(self._floors) * FLOOR_BYTES > self._max_bytes:
            if self._large:
                self._drop_oldest(*max(self._large.items(), key=_size_of))
            else:
                self._evict_oldest()

    def entries(self) -> Iterator[tuple[Message, tuple[str, ...]]]:
        """Yield all messages in order, each with the keys that have not dropped it."""
        for entry in self._log:
            if entry.holders:
                message, keys = entry.message, entry.keys
                if entry.holders < len(keys):
                    keys = tuple([k for k in keys if self._logs[k].floor < message.position])
                yield message, keys

    def floors(self) -> Mapping[str, Position]:
        """Return for each key the id of the last message evicted from the log, in order."""
        return self._floors

    def key_floors(self) -> dict[str, Position]:
        """Return the id of the last message that a key dropped, of each that did so and has more.

        It is above the key's floor in `floors()`.
        """
        return {key: log.floor for key, log in self._logs.items() if log.floor > START}

    def resume_at(self, floor: Position, floors: Mapping[str, Position] | None = None) -> None:
        """Start this empty history at `floor`, with the `floors()` of an earlier process."""
        self.floor = self.latest = floor
        for key, position in (floors or {}).items():
            self._set_floor(key, position)

    def resume_key_floors(self, key_floors: Mapping[str, Position]) -> None:
        """Set the `key_floors()` of an earlier process, whose entries were appended to this one.

        A key without entries here has lost them all, and has a newer floor already.
        """
        for key, position in key_floors.items():
            log = self._logs.get(key)
            if log is not None and log.floor < position:
                log.floor = position

    def expire(self, now_ms: int, now: float) -> None:
        """Evict what is over the maximum age.

        `now_ms` is Unix time in milliseconds, `now` monotonic time in seconds.
        """
        arrivals = self._arrivals
        interval_s = self._max_age_s / ARRIVALS_MAX_COUNT
        if not arrivals or (arrivals[-1][0] < self.latest and now - arrivals[-1][1] >= interval_s):
            arrivals.append((self.latest, now))
        arrived_before = START
        while arrivals and now - arrivals[0][1] > self._max_age_s:
            arrived_before, _ = arrivals.popleft()
        oldest = Position(now_ms - int(self._max_age_s * 1000), 0)
        log = self._log
        while log and ((id_ := log[0].message.position) < oldest or id_ <= arrived_before):
            self._evict_oldest()

    def floor_of(self, keys: Iterable[str]) -> Position:
        """Return the lowest id after which no message of `keys` was lost.

        `messages_after(keys, …)` this or a later id is complete.
        """
        floor = self.floor
        for key in keys:
            evicted = self._floors.get(key)
            if evicted is not None and evicted > floor:
                floor = evicted
            log = self._logs.get(key)
            if log is not None and log.floor > floor:
                floor = log.floor
        return floor

    def covers(self, keys: Iterable[str], after: Position) -> bool:
        """Return True if `messages_after(keys, after)` is certain to be complete.

        An id after the latest is from another server, about which nothing is known.
        """
        return self.floor_of(keys) <= after <= self.latest

    def messages_after(self, keys: Iterable[str], after: Position) -> Replay:
        """Return the messages of `keys` after the id `after`, in order, each once."""
        logs = [log for key in keys if (log := self._logs.get(key)) is not None]
        return Replay([log.messages_after(after) for log in logs])

    def _drop_oldest(self, key: str, log: _KeyLog) -> None:
        """Remove a key's oldest entry, and keep its id as the key's floor."""
        entry = log.pop_oldest()
        log.floor = entry.message.position
        if self._large:
            self._check_share(key, log)
        entry.holders -= 1
        if entry.holders:
            return
        self.size_bytes -= entry.cost_bytes
        if entry is self._log[0]:
            self._log.popleft()
            if self._freed:
                self._remove_freed()
            return
        entry.message, entry.keys = _EVICTED, ()
        self._freed += 1
        if self._freed * 2 > len(self._log):
            self._log = deque([entry for entry in self._log if entry.holders])
            self._freed = 0

    def _evict_oldest(self) -> None:
        """Remove the oldest entry of all, and keep its id as the floor of its keys."""
        entry = self._log.popleft()
        self.size_bytes -= entry.cost_bytes
        position = entry.message.position
        for key in entry.keys:
            log = self._logs[key]
            if log.floor < position:  # otherwise the key has dropped it
                log.pop_oldest()
                if log.start == len(log.entries):
                    del self._logs[key]
                    self.size_bytes -= LOG_BYTES
                if self._large:
                    self._check_share(key, log)
            self._set_floor(key, position)
        if self._freed:
            self._remove_freed()

    def _check_share(self, key: str, log: _KeyLog) -> None:
        """Remove a key from those over their share if it is not, or has only one entry."""
        if log.size_bytes <= self._key_max_bytes or len(log.entries) - log.start <= 1:
            self._large.pop(key, None)

    def _remove_freed(self) -> None:
        """Remove the empty entries before the oldest one."""
        while self._freed and not self._log[0].holders:
            self._log.popleft()
            self._freed -= 1

    def _set_floor(self, key: str, position: Position) -> None:
        """Set the floor of `key`; `position` is after all floors set before."""
        floors = self._floors
        floors[key] = position
        floors.move_to_end(key)
        if len(floors) > self._max_floors:
            _, self.floor = floors.popitem(last=False)
