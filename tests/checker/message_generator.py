"""The generator of the messages to publish: numbered, and determined by the seed."""

from random import Random
from zlib import crc32

from tests.checker.sent_message import SentMessage

GROUPS = tuple(f"room {number}" for number in range(10))
FINAL_PUBLISHER = "end"
"""The publisher in the keys of the final messages."""

_FILLER = 'Text with a line break,\nnon-ASCII žluť 🐎, "quotes", \\ and \t' * 600


class MessageGenerator:
    """Generates the messages of one publisher."""

    def __init__(self, publisher: str, client_ids: list[str], random: Random) -> None:
        self._publisher = publisher
        self._client_ids = client_ids
        self._random = random
        self._number = 0

    def next(self) -> tuple[SentMessage, str]:
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
        return SentMessage(key, to, group, everyone, crc32(data.encode())), data


def final_message(number: int) -> tuple[SentMessage, str]:
    """Return a message that ends a run: a client that has it has received everything before it.

    A run may need several, because a history that is too small can lose one.
    """
    key = f"{FINAL_PUBLISHER}:{number}"
    return SentMessage(key, (), None, True, crc32(key.encode())), key


def is_final(key: str) -> bool:
    """Return True if this is the key of a final message."""
    return key.startswith(FINAL_PUBLISHER + ":")
