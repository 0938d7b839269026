"""A session's backlog: a ring of references to messages that other sessions share.

Nothing is copied and nothing is encoded here. An empty ring owns no slots; it starts with a few,
doubles when they are taken, and lets go of them when it has run empty, so that a burst leaves no
memory behind. A slot that was taken is cleared, so that no message outlives its last reader.

Two bounds hold together: messages and bytes of data. One message of any size fits into an empty
ring, or nothing larger than the bound could ever be delivered.
"""

from typing import NamedTuple

from headrace.message import Message
from headrace.position import START

_FIRST_SLOTS = 4  # a power of two, as every later size, so that a mask does for the modulo
_FREE = Message(START, "")  # what a free slot holds
_NO_SLOTS: list[Message] = []


class RingBounds(NamedTuple):
    """What every ring of a process may hold at most."""

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
        """Append `message`; return False, with nothing changed, where a bound forbids it."""
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
        """The message that would be taken next; IndexError when there is none."""
        return self._slots[self._head]

    def take(self, max_bytes: int) -> tuple[Message, ...]:
        """Remove and return the oldest messages, as many as fit into `max_bytes`, at least one.

        An empty ring gives an empty tuple.
        """
        count = self._count
        if count <= 1:
            return (self.take_oldest(),) if count else ()
        slots, head = self._slots, self._head
        if self.size_bytes <= max_bytes:  # all of it, as nearly always
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
            place = (head + offset) & mask
            message = slots[place]
            if taken and size_bytes + message.size_bytes > max_bytes:
                break
            size_bytes += message.size_bytes
            taken.append(message)
            slots[place] = _FREE
        self._remove(len(taken), size_bytes)
        return tuple(taken)

    def take_oldest(self) -> Message:
        """Remove and return the oldest message; IndexError when there is none."""
        message = self.oldest
        self._slots[self._head] = _FREE
        self._remove(1, message.size_bytes)
        return message

    def _remove(self, count: int, size_bytes: int) -> None:
        """Account for `count` slots that were cleared."""
        self._count -= count
        self.size_bytes -= size_bytes
        if self._count:
            self._head = (self._head + count) & (len(self._slots) - 1)
        else:
            self._slots = _NO_SLOTS
            self._head = 0

    def _double(self) -> None:
        """Move the full ring to the front of twice as many slots."""
        slots, head = self._slots, self._head
        self._slots = slots[head:] + slots[:head] + [_FREE] * len(slots)
        self._head = 0
