"""Which groups a client is in: what its token claims, and what the application has said since.

A client is in a group once, however many ways lead there. The application's word stands above a
token's claim, until a token that was issued after that word claims the group again.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class _Word(NamedTuple):
    """What the application has said of one client and one group, and when (Unix time)."""

    joined: bool
    at: float


class Memberships:
    """The application's words, by client."""

    __slots__ = ("_left", "_words")

    def __init__(self) -> None:
        self._words: dict[str, dict[str, _Word]] = {}
        self._left: OrderedDict[tuple[str, str], float] = (
            OrderedDict()
        )  # the words of leaving, in order

    def join(self, client_id: str, group: str, at: float) -> None:
        """Put the client into the group, connected or not, until `leave`."""
        self._left.pop((client_id, group), None)
        self._words.setdefault(client_id, {})[group] = _Word(joined=True, at=at)

    def leave(self, client_id: str, group: str, at: float) -> None:
        """Take the client out of the group, whatever tokens issued so far claim."""
        self._words.setdefault(client_id, {})[group] = _Word(joined=False, at=at)
        self._left.pop((client_id, group), None)
        self._left[client_id, group] = at

    def words(self) -> Iterator[tuple[str, str, bool, float]]:
        """Return all words: client ID, group, whether it joined, and when."""
        for client_id, words in self._words.items():
            for group, word in words.items():
                yield client_id, group, word.joined, word.at

    def groups_of(
        self, client_id: str, claimed: Iterable[str], issued_at: float | None
    ) -> tuple[str, ...]:
        """Return the client's groups under a token that claims `claimed`, each once.

        `issued_at` is the token's `iat`; without one it counts as older than every word.
        """
        words = self._words.get(client_id)
        if words is None:
            return tuple(dict.fromkeys(claimed))
        groups = {group: True for group, word in words.items() if word.joined}
        for group in claimed:
            word = words.get(group)
            if word is None or word.joined or (issued_at is not None and issued_at > word.at):
                groups[group] = True
        return tuple(groups)

    def expire(self, before: float) -> None:
        """Forget words of leaving spoken before `before`: no token is left that they concern."""
        while self._left:
            (client_id, group), at = next(iter(self._left.items()))
            if at >= before:
                break
            del self._left[client_id, group]
            words = self._words[client_id]
            del words[group]
            if not words:
                del self._words[client_id]
