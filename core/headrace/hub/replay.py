"""The messages that a resuming session missed, merged into one order while they are delivered.

A replay holds references to its messages, so it stays complete when the history evicts them. It is
given one list per key, and merges only what is taken. A client of ten busy groups may have missed
80,000 messages: merging them all at once would block the event loop for 27 ms, although the
client's connection takes only a few at a time.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from operator import attrgetter

from headrace.messages.message import Message
from headrace.messages.position import START, Position

_position_of = attrgetter("position")


class Replay:
    """Messages in order, taken from the front. `newest` is the position of the last of them."""

    __slots__ = ("_count", "_merged", "_next", "newest")

    def __init__(self, lists: Iterable[list[Message]]) -> None:
        """Take over `lists`: each is in order, and is emptied as its messages are taken.

        A message that is in several lists is taken once, but counts for each until then.
        """
        lists = [messages for messages in lists if messages]
        self._count = sum(map(len, lists))
        last = [messages[-1].position for messages in lists]
        self.newest: Position = max(last, default=START)
        self._merged = (
            _consume(lists[0])
            if len(lists) == 1
            else merge(*map(_consume, lists), key=_position_of)
        )
        self._next = next(self._merged, None)

    def __len__(self) -> int:
        return self._count

    def take(self, max_bytes: int) -> tuple[Message, ...]:
        """Remove and return the next messages: as many as fit into `max_bytes`, at least one.

        An empty replay returns an empty tuple.
        """
        taken: list[Message] = []
        size_bytes = 0
        message = self._next
        while message is not None:
            size_bytes += message.size_bytes
            if taken and size_bytes > max_bytes:
                break
            taken.append(message)
            following: Message | None = message
            while following is message:  # the same message from another list
                self._count -= 1
                following = next(self._merged, None)
            message = following
        self._next = message
        return tuple(taken)


def _consume(messages: list[Message]) -> Iterator[Message]:
    """Yield the messages of a list, and remove each: it can be freed when it was delivered."""
    messages.reverse()
    while messages:
        yield messages.pop()
