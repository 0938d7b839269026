"""What a client that comes back can be given again, and an honest word on what it cannot.

One log per process in id order, and beside it an index: for each key (a channel, a group,
everyone) its messages in the same order. The log is bounded in bytes and in age and loses entries
from its left end only. A key that has more than its share of entries loses its own oldest.

Each key has a floor, the id of the message last lost under it: whoever has seen everything up to
the floors of its keys can be given all that came after. Floors outlive the messages, or a client
whose keys were quiet for long would be told of losses that were others'. They are bounded in
number: where one is forgotten, its id becomes the floor of all keys of which nothing is known.

What is counted is real memory: the data as Python holds it, one encoding, the objects around
them, the index and the floors. docs/history.md says how well that fits.

Append and eviction cost O(1) per key of the message, a floor O(1) per key; `since` costs the size
of what it returns and a binary search per key.
"""

import sys
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from heapq import merge
from operator import attrgetter

import msgspec

from headrace import limits
from headrace.message import Message
from headrace.position import START, Position

EVERYONE = "*"
_position_of = attrgetter("position")
_encode_into = msgspec.json.Encoder().encode_into
_scratch = bytearray()  # for encodings that are only measured
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
        self.floor = START  # the last one lost to the key's own bound
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

    `latest` is the newest id of all. `floor` is the floor of every key of which no loss is known:
    at first the process's start, or where the process before it had come to; later the highest
    that was forgotten. `size_bytes` is what the messages and their index cost.
    """

    __slots__ = (
        "_costs",
        "_floors",
        "_keys",
        "_logs",
        "_max_age_ms",
        "_max_bytes",
        "_max_floors",
        "_messages",
        "floor",
        "latest",
        "size_bytes",
    )

    def __init__(self, floor: Position, *, max_bytes: int, max_age_s: float) -> None:
        self.floor = floor
        self.latest = floor
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._max_age_ms = int(max_age_s * 1000)
        # The log: three columns, as a tuple for each entry would cost more than a cost that is
        # kept; and kept it must be, since a string grows when it is first encoded.
        self._messages: deque[Message] = deque()
        self._keys: deque[tuple[str, ...]] = deque()
        self._costs: deque[int] = deque()
        self._logs: dict[str, _Log] = {}
        # By key, the last message that the log has lost; in the order of ids, as the log loses
        # them. What a key has lost to its own bound lies after all of these, and in its `_Log`.
        self._floors: OrderedDict[str, Position] = OrderedDict()
        self._max_floors = min(
            limits.HISTORY_FLOORS_MAX_KEYS,
            max_bytes // limits.HISTORY_FLOORS_SHARE // limits.HISTORY_FLOOR_BYTES,
        )

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def floors_bytes(self) -> int:
        """What the floors cost; they count towards the greatest size as well."""
        return len(self._floors) * limits.HISTORY_FLOOR_BYTES

    def append(self, message: Message, keys: tuple[str, ...]) -> None:
        """Remember `message` under each of `keys`; its id must lie after all earlier ones."""
        self.latest = message.position
        cost_bytes = _cost_bytes(message, keys)
        self._messages.append(message)
        self._keys.append(keys)
        self._costs.append(cost_bytes)
        self.size_bytes += cost_bytes
        for key in keys:
            log = self._logs.get(key)
            if log is None:
                log = self._logs[key] = _Log()
                self.size_bytes += limits.HISTORY_LOG_BYTES
            log.messages.append(message)
            if len(log) > limits.HISTORY_KEY_MAX_MESSAGES:
                log.floor = log.evict().position
        while self.size_bytes + self.floors_bytes > self._max_bytes:
            self._evict()

    def entries(self) -> Iterable[tuple[Message, tuple[str, ...]]]:
        """Return all that is remembered: each message with its keys, in order."""
        return zip(self._messages, self._keys, strict=True)

    def floors(self) -> Mapping[str, Position]:
        """Return the ids of the messages last lost from the log, by key, in order.

        What keys have lost to their own bound is not among them: the log still has it, and a
        history that is given the log's entries again comes to the same floors.
        """
        return self._floors

    def begin(self, floor: Position, floors: Mapping[str, Position] | None = None) -> None:
        """Start an empty history at `floor`, as one that goes on from another process's.

        `floors` is what that one's `floors()` returned.
        """
        self.floor = self.latest = floor
        for key, position in (floors or {}).items():
            self._lose(key, position)

    def expire(self, now_ms: int) -> None:
        """Forget what is older than the greatest age; `now_ms` is the Unix time in milliseconds."""
        oldest_ms = now_ms - self._max_age_ms
        while self._messages and self._messages[0].position.ms < oldest_ms:
            self._evict()

    def floor_of(self, keys: Iterable[str]) -> Position:
        """Return the lowest id after which nothing of `keys` is known to be lost, nor may be.

        `since(keys, …)` that or a later id is all that there was.
        """
        floor = self.floor
        for key in keys:
            lost = self._floors.get(key)
            if lost is not None and lost > floor:
                floor = lost
            log = self._logs.get(key)
            if log is not None and log.floor > floor:
                floor = log.floor
        return floor

    def covers(self, keys: Iterable[str], after: Position) -> bool:
        """Tell whether `since(keys, after)` is certain to be all that there was.

        An id beyond the latest is of some other process's order: nothing can be promised.
        """
        return self.floor_of(keys) <= after <= self.latest

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
        """Forget the oldest message of all, but not under which keys it is lost."""
        message, keys = self._messages.popleft(), self._keys.popleft()
        self.size_bytes -= self._costs.popleft()
        for key in keys:
            log = self._logs[key]
            if len(log) and log.messages[log.start] is message:  # or the key's bound was first
                log.evict()
            if not len(log):
                del self._logs[key]
                self.size_bytes -= limits.HISTORY_LOG_BYTES
            self._lose(key, message.position)

    def _lose(self, key: str, position: Position) -> None:
        """Note that `key` has lost the message at `position`, which lies after all lost before."""
        floors = self._floors
        floors[key] = position
        floors.move_to_end(key)
        if len(floors) > self._max_floors:
            _, self.floor = floors.popitem(last=False)


def _cost_bytes(message: Message, keys: tuple[str, ...]) -> int:
    """Return what an entry costs once it is encoded, in any one form."""
    data = message.data
    _encode_into(data, _scratch)  # the escapes count; and the string has its UTF-8 from now on
    cost_bytes = len(_scratch) + sys.getsizeof(data)
    cost_bytes += cost_bytes // limits.HISTORY_GAPS_SHARE + limits.HISTORY_ENTRY_BYTES
    if message.group is not None:  # the message has the name once more
        cost_bytes += limits.HISTORY_KEY_BYTES + len(message.group)
    for key in keys:
        cost_bytes += limits.HISTORY_KEY_BYTES + len(key)
    return cost_bytes
