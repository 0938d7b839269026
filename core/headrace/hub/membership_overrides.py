"""Group membership: what a client's token claims, and how the application overrides it.

An override takes precedence over the claims of all tokens issued up to its time. A token that is
issued later and claims the group takes precedence over an override of leaving.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from headrace.errors import InputError

JOINED_MAX_GROUPS: Final = 1000
"""Groups to which the application adds one client; each change updates the client's sessions."""


class MembershipOverride(NamedTuple):
    """The application's last change of one client in one group; `at` is Unix time in seconds."""

    joined: bool
    at: float


class Memberships:
    """The application's overrides, by client and group."""

    __slots__ = ("_left", "_overrides")

    def __init__(self) -> None:
        self._overrides: dict[str, dict[str, MembershipOverride]] = {}
        # The time of each override of leaving, oldest first: only these expire.
        self._left: OrderedDict[tuple[str, str], float] = OrderedDict()

    def check_join(self, client_id: str, group: str) -> None:
        """Raise InputError if the client cannot be added to one more group."""
        overrides = self._overrides.get(client_id, {})
        if len(overrides) < JOINED_MAX_GROUPS or (group in overrides and overrides[group].joined):
            return
        joined = sum(override.joined for override in overrides.values())
        if joined >= JOINED_MAX_GROUPS:
            raise InputError(
                f"the client is in {joined} groups, and at most {JOINED_MAX_GROUPS} are allowed:"
                " remove it from another one first"
            )

    def join(self, client_id: str, group: str, at: float) -> None:
        """Add the client to the group, connected or not, until `leave`."""
        self._left.pop((client_id, group), None)
        self._overrides.setdefault(client_id, {})[group] = MembershipOverride(joined=True, at=at)

    def leave(self, client_id: str, group: str, at: float) -> None:
        """Remove the client from the group, also if its tokens issued up to `at` claim it."""
        self._overrides.setdefault(client_id, {})[group] = MembershipOverride(joined=False, at=at)
        self._left.pop((client_id, group), None)
        self._left[client_id, group] = at

    def overrides(self) -> Iterator[tuple[str, str, bool, float]]:
        """Return all overrides: client ID, group, joined or left, and when."""
        for client_id, overrides in self._overrides.items():
            for group, override in overrides.items():
                yield client_id, group, override.joined, override.at

    def groups_of(
        self, client_id: str, claimed: Iterable[str], issued_at: float | None
    ) -> tuple[str, ...]:
        """Return the client's groups under a token that claims `claimed`, each once.

        `issued_at` is the token's `iat`; a token without it counts as older than every override.
        """
        overrides = self._overrides.get(client_id)
        if overrides is None:
            return tuple(dict.fromkeys(claimed))
        groups = {group: True for group, override in overrides.items() if override.joined}
        for group in claimed:
            override = overrides.get(group)
            if (
                override is None
                or override.joined
                or (issued_at is not None and issued_at > override.at)
            ):
                groups[group] = True
        return tuple(groups)

    def earliest_issue_time(self, client_id: str, now: float) -> float:
        """Return `now`, or the first millisecond at which a token is newer than all leaves."""
        overrides = self._overrides.get(client_id)
        if overrides is None:
            return now
        left = [override.at for override in overrides.values() if not override.joined]
        return max([now, *[at + 0.001 for at in left if at < now + 1]])

    def expire(self, before: float) -> None:
        """Delete overrides of leaving from before `before`: all tokens they affect have expired."""
        while self._left:
            (client_id, group), at = next(iter(self._left.items()))
            if at >= before:
                break
            del self._left[client_id, group]
            overrides = self._overrides[client_id]
            del overrides[group]
            if not overrides:
                del self._overrides[client_id]
