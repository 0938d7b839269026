"""A session's backlog: a ring buffer of references to messages, which sessions share.

Nothing is copied or encoded here. An empty ring has no slots. It starts with a few, doubles when
they are full, and releases them when it is empty again, so that a burst leaves no memory behind.
Slots are cleared when their message is taken, so that it can be freed.

A ring is bounded in messages and in bytes of data. An empty ring accepts one message of any size;
otherwise a message larger than the bound could never be delivered.
"""

from typing import NamedTuple

from headrace.messages.message import Message
from headrace.messages.position import START

_FIRST_SLOTS = 4  # a power of two, as all later sizes, so that a mask can replace the modulo
_FREE = Message(START, "")  # in free slots
_NO_SLOTS: list[Message] = []


class RingBounds(NamedTuple):
    """The bounds of every ring in the process."""

    max_messages: int
    max_bytes: int


class Ring:
    """A bounded first-in-first-out queue of messages."""

    __slots__ = ("_count", "_head", "_max_bytes", "_max_messages", "_slots", "size_bytes")

    def __init__(self, bounds: RingBounds) -> None:
        self._max_messages, self._max_bytes = bounds
        self._slots = _NO_SLOTS
        self._head = 0
        self._count = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return self._count

    def push(self, message: Message) -> bool:
        """Append `message`; return False, and change nothing, if it would exceed a bound."""
        count = self._count
        size_bytes = self.size_bytes + message.size_bytes
        if count >= self._max_messages:
            return False
        if count:
            if size_bytes > self._max_bytes:
                return False
            if count == len(self._slots):
                self._double()
        elif not self._slots:
            self._slots = [_FREE] * _FIRST_SLOTS
        slots = self._slots
        slots[(self._head + count) & (len(slots) - 1)] = message
        self._count = count + 1
        self.size_bytes = size_bytes
        return True

    @property
    def oldest(self) -> Message:
        """The message that is taken next; IndexError if the ring is empty."""
        return self._slots[self._head]

    def take(self, max_bytes: int) -> tuple[Message, ...]:
        """Remove and return the oldest messages: as many as fit into `max_bytes`, at least one.

        An empty ring returns an empty tuple.
        """
        count = self._count
        if count <= 1:
            return (self.take_oldest(),) if count else ()
        slots, head = self._slots, self._head
        if self.size_bytes <= max_bytes:  # everything, the usual case
            end = head + count
            taken = slots[head:end]
            if end > len(slots):
                taken += slots[: end - len(slots)]
            self._slots = _NO_SLOTS
            self._head = self._count = self.size_bytes = 0
            return tuple(taken)
        taken = []
        size_bytes = 0
        mask = len(slots) - 1
        for offset in range(count):
            index = (head + offset) & mask
            message = slots[index]
            if taken and size_bytes + message.size_bytes > max_bytes:
                break
            size_bytes += message.size_bytes
            taken.append(message)
            slots[index] = _FREE
        self._remove(len(taken), size_bytes)
        return tuple(taken)

    def take_oldest(self) -> Message:
        """Remove and return the oldest message; IndexError if the ring is empty."""
        message = self.oldest
        self._slots[self._head] = _FREE
        self._remove(1, message.size_bytes)
        return message

    def _remove(self, count: int, size_bytes: int) -> None:
        """Advance the head past `count` cleared slots."""
        self._count -= count
        self.size_bytes -= size_bytes
        if self._count:
            self._head = (self._head + count) & (len(self._slots) - 1)
        else:
            self._slots = _NO_SLOTS
            self._head = 0

    def _double(self) -> None:
        """Move the messages of the full ring to the start of twice as many slots."""
        slots, head = self._slots, self._head
        self._slots = slots[head:] + slots[:head] + [_FREE] * len(slots)
        self._head = 0
