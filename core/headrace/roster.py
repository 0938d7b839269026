"""Who is connected, and to which channels and groups: the hub's indexes.

A session is in the channel of its client and in the client's groups; an entry's audience is
looked up here. What is remembered of a client without a session is here as well: where its last
one left off.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from headrace.entries import Entry
from headrace.history import EVERYONE, channel_key, group_key
from headrace.membership import Memberships
from headrace.position import START, Position, parse_position
from headrace.session import Session
from headrace.tokens import Claims


class Origin(NamedTuple):
    """The newest `pos` of the tokens that a client has begun a session with, and where it asked to.

    That may be before what the history still had: whoever begins there again is told so again.
    """

    pos: Position
    start: Position


class Channel:
    """The sessions of one client that are open now, the oldest first."""

    __slots__ = ("origin", "sessions")

    def __init__(self, origin: Origin) -> None:
        self.sessions: list[Session] = []
        self.origin = origin


class Left(NamedTuple):
    """What is remembered for a while of a client that has no session any more."""

    position: Position
    """Where its last session left off."""
    origin: Origin
    forget_at: float
    """Monotonic seconds."""


class Roster:
    """The sessions, by client and by group."""

    def __init__(self) -> None:
        self.sessions: dict[Session, None] = {}
        self.channels: dict[str, Channel] = {}
        self.groups: dict[str, dict[Session, None]] = {}
        self.memberships = Memberships()
        self._left: OrderedDict[str, Left] = OrderedDict()  # in the order in which they left

    def audience(self, entry: Entry) -> tuple[Collection[Session], tuple[str, ...]]:
        """Return the sessions that `entry` is for, each once, and its keys in the history."""
        if entry.group is not None:
            return self.groups.get(entry.group, ()), (group_key(entry.group),)
        if entry.everyone:
            return self.sessions, (EVERYONE,)
        client_ids = dict.fromkeys(entry.to)
        keys = tuple([channel_key(client_id) for client_id in client_ids])
        channels = [c for client_id in client_ids if (c := self.channels.get(client_id))]
        if len(channels) == 1:
            return channels[0].sessions, keys
        return [session for channel in channels for session in channel.sessions], keys

    def groups_of(self, claims: Claims) -> tuple[str, ...]:
        """Return the groups of a client whose token has these claims, each once."""
        return self.memberships.groups_of(claims.sub, claims.groups, claims.iat)

    def starting_point(self, claims: Claims, since: Position | None = None) -> Position | None:
        """Return the id after which a session begins that names none; None for live.

        It is where the client's last session left off, if it has none now; else the token's
        `pos`, if no session has begun there yet. With `since`, which is the `pos` of an attempt
        that may have been served, it is where that began; if none did, it is no later than `since`.
        RequestError (400) for a `pos` that is no id.
        """
        pos = START if claims.pos is None else parse_position(claims.pos)
        channel = self.channels.get(claims.sub)
        left = self._left.get(claims.sub) if channel is None else None
        known = channel or left
        origin = known.origin if known is not None else _NOWHERE
        if since is not None and since <= origin.pos:  # a later attempt may have had a newer token
            return origin.start if since == origin.pos else min(origin.start, since)
        if left is not None:
            return left.position if since is None else min(left.position, since)
        if since is not None:
            return since
        return pos if pos > origin.pos else None

    def add(self, session: Session, asked: Position) -> Channel:
        """Enter a session under its client and its groups; return the client's channel.

        `asked` is the id after which it was to begin.
        """
        claims = session.claims
        channel = self.channels.get(claims.sub)
        if channel is None:
            left = self._left.pop(claims.sub, None)
            channel = self.channels[claims.sub] = Channel(left.origin if left else _NOWHERE)
        if claims.pos is not None:
            origin = Origin(parse_position(claims.pos), asked)
            if origin.pos > channel.origin.pos:
                channel.origin = origin
        channel.sessions.append(session)
        self.sessions[session] = None
        self.regroup(session)
        return channel

    def remove(self, session: Session, forget_at: float) -> bool:
        """Take a session out; return whether its client has another.

        Until `forget_at` (monotonic) it is remembered where the client's last session left off.
        """
        del self.sessions[session]
        self._move(session, ())
        client_id = session.client_id
        channel = self.channels[client_id]
        channel.sessions.remove(session)
        if channel.sessions:
            return True
        del self.channels[client_id]
        self.remember(client_id, Left(session.position, channel.origin, forget_at))
        return False

    def left(self) -> Iterator[tuple[str, Left]]:
        """Return who has left lately, and where."""
        return iter(self._left.items())

    def remember(self, client_id: str, left: Left) -> None:
        """Remember a client that has left."""
        self._left[client_id] = left

    def regroup(self, session: Session) -> None:
        """Bring a session into the groups it belongs to now, and out of all others."""
        self._move(session, self.groups_of(session.claims))

    def members(self, group: str) -> list[str]:
        """Return the clients with a session in the group, each once."""
        return list(dict.fromkeys(session.client_id for session in self.groups.get(group, ())))

    def expire(self, now: float) -> None:
        """Forget the clients that left long ago; `now` is monotonic."""
        while self._left:
            client_id, left = next(iter(self._left.items()))
            if left.forget_at > now:
                break
            del self._left[client_id]

    def _move(self, session: Session, groups: tuple[str, ...]) -> None:
        for group in session.groups:
            if group not in groups:
                members = self.groups[group]
                del members[session]
                if not members:
                    del self.groups[group]
        for group in groups:
            self.groups.setdefault(group, {})[session] = None
        session.groups = groups


_NOWHERE = Origin(START, START)


def keys_of(client_id: str, groups: Iterable[str]) -> list[str]:
    """Return the keys under which the history holds what a client in `groups` may see."""
    return [EVERYONE, channel_key(client_id), *map(group_key, groups)]
