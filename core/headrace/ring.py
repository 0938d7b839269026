"""A session's backlog: a ring of references to messages that other sessions share.

Nothing is copied and nothing is encoded here. An empty ring owns no slots; it starts with a few,
doubles when they are taken, and lets go of them when it has run empty, so that a burst leaves no
memory behind. A slot that was taken is cleared, so that no message outlives its last reader.

Two bounds hold together: messages and bytes of data. One message of any size fits into an empty
ring, or nothing larger than the bound could ever be delivered.
"""

from typing import NamedTuple

from headrace.message import Message

_FIRST_SLOTS = 4  # a power of two, as every later size, so that a mask does for the modulo
_NO_SLOTS: list[Message | None] = []


class RingBounds(NamedTuple):
    """What every ring of a process may hold at most."""

    max_messages: int
    max_bytes: int


class Ring:
    """A bounded first-in-first-out queue of messages."""

    __slots__ = ("_bounds", "_count", "_head", "_slots", "size_bytes")

    def __init__(self, bounds: RingBounds) -> None:
        self._bounds = bounds
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
        if count >= self._bounds.max_messages:
            return False
        if count:
            if size_bytes > self._bounds.max_bytes:
                return False
            if count == len(self._slots):
                self._double()
        elif not self._slots:
            self._slots = [None] * _FIRST_SLOTS
        slots = self._slots
        slots[(self._head + count) & (len(slots) - 1)] = message
        self._count = count + 1
        self.size_bytes = size_bytes
        return True

    @property
    def oldest(self) -> Message:
        """The message that would be taken next; IndexError when there is none."""
        message = self._slots[self._head]
        assert message is not None
        return message

    def take(self, max_bytes: int) -> tuple[Message, ...]:
        """Remove and return the oldest messages, as many as fit into `max_bytes`, at least one.

        An empty ring gives an empty tuple.
        """
        count = self._count
        if count <= 1:
            return (self.take_oldest(),) if count else ()
        taken: list[Message] = []
        size_bytes = 0
        slots, head, mask = self._slots, self._head, len(self._slots) - 1
        for offset in range(count):
            place = (head + offset) & mask
            message = slots[place]
            assert message is not None
            if taken and size_bytes + message.size_bytes > max_bytes:
                break
            size_bytes += message.size_bytes
            taken.append(message)
            slots[place] = None
        self._remove(len(taken), size_bytes)
        return tuple(taken)

    def take_oldest(self) -> Message:
        """Remove and return the oldest message; IndexError when there is none."""
        message = self.oldest
        self._slots[self._head] = None
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
        self._slots = slots[head:] + slots[:head] + [None] * len(slots)
        self._head = 0
