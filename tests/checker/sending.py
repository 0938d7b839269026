"""What is sent: numbered messages whose text follows from the seed, and what became of them."""

from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from tests.checker.ids import Id

GROUPS = tuple(f"room {number}" for number in range(10))
END = "end"
"""The publisher of the messages that end a run."""

_FILLER = 'Nothing is lost - and if it is,\nit is told. žluť 🐎 "quoted" \\ \t' * 600


@dataclass(slots=True)
class Sent:
    """One message: its key `"<publisher>:<number>"`, whom it is for, and which ids it got.

    `memories` are those of the server in which it was tried; more than one, and it may have been
    accepted twice: who asked before a crash could not hear the answer.
    """

    key: str
    to: tuple[str, ...]
    group: str | None
    everyone: bool
    crc: int
    memories: set[int] = field(default_factory=set)
    answered: Id | None = None
    refused: bool = False

    @property
    def settled(self) -> bool:
        """Whether there is nothing more to try."""
        return self.answered is not None or self.refused

    def target(self) -> dict[str, object]:
        """Return the fields of the send request that say whom it is for."""
        if self.everyone:
            return {"everyone": True}
        if self.group is not None:
            return {"group": self.group}
        return {"to": self.to[0] if len(self.to) == 1 else list(self.to)}


class Composer:
    """Makes the messages of one publisher."""

    def __init__(self, publisher: str, client_ids: list[str], random: Random) -> None:
        self._publisher = publisher
        self._client_ids = client_ids
        self._random = random
        self._number = 0

    def next(self) -> tuple[Sent, str]:
        """Return the next message and its data."""
        random = self._random
        key = f"{self._publisher}:{self._number}"
        self._number += 1
        kind = random.random()
        size = random.randint(0, 150)
        to: tuple[str, ...] = ()
        group, everyone = None, False
        if kind < 0.02:
            everyone = True
        elif kind < 0.2:
            group = random.choice(GROUPS)
        elif kind < 0.35:
            to = tuple(random.sample(self._client_ids, min(5, len(self._client_ids))))
        else:
            to = (random.choice(self._client_ids),)
            if random.random() < 0.03:
                size = random.randint(1000, 25_000)
        start = random.randrange(64)
        data = f"{key} {_FILLER[start : start + size]}"
        return Sent(key, to, group, everyone, crc32(data.encode())), data


def end_message(number: int) -> tuple[Sent, str]:
    """Return a message that ends a run: who has it has had everything before it.

    There is more than one, because a history that is too small may lose it.
    """
    key = f"{END}:{number}"
    return Sent(key, (), None, True, crc32(key.encode())), key


def is_end(key: str) -> bool:
    """Tell whether the message with this key ends a run."""
    return key.startswith(END + ":")
