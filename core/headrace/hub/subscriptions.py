"""Subscriptions: the sessions of each client and of each group, and where sessions start.

A session is in the channel of its client and in the client's groups; `recipients` looks an entry's
targets up there. After a client's last session, a resume point says where that one left off.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from headrace.auth.tokens import Claims
from headrace.hub.groups import Groups
from headrace.hub.history import EVERYONE, channel_key, group_key
from headrace.hub.membership_overrides import Memberships
from headrace.hub.session import Session
from headrace.messages.entries import Entry
from headrace.messages.position import START, Position, parse_position


class TokenStart(NamedTuple):
    """The newest `pos` of the tokens that a client started a session with, and where that started.

    `start` is the id after which it asked to start; the history may not have reached so far back.
    """

    pos: Position
    start: Position


class Channel:
    """The open sessions of one client, the oldest first."""

    __slots__ = ("sessions", "token_start")

    def __init__(self, token_start: TokenStart) -> None:
        self.sessions: list[Session] = []
        self.token_start = token_start


class ResumePoint(NamedTuple):
    """What is kept of a client without a session: where its last session left off."""

    position: Position
    token_start: TokenStart
    forget_at: float
    """Monotonic time in seconds."""


class Subscriptions:
    """The sessions, by client and by group."""

    def __init__(self) -> None:
        self.sessions: dict[Session, None] = {}
        self.channels: dict[str, Channel] = {}
        self.groups = Groups()
        self.memberships = Memberships()
        self._resume_points: OrderedDict[str, ResumePoint] = OrderedDict()  # the oldest first

    def recipients(self, entry: Entry) -> tuple[Collection[Session], tuple[str, ...]]:
        """Return the sessions that `entry` is for, each once, and its keys in the history."""
        if entry.group is not None:
            return self.groups.get(entry.group, ()), (group_key(entry.group),)
        if entry.everyone:
            return self.sessions, (EVERYONE,)
        if len(entry.to) == 1:
            channel = self.channels.get(entry.to[0])
            return () if channel is None else channel.sessions, (channel_key(entry.to[0]),)
        client_ids = dict.fromkeys(entry.to)
        keys = tuple([channel_key(client_id) for client_id in client_ids])
        channels = [c for client_id in client_ids if (c := self.channels.get(client_id))]
        return [session for channel in channels for session in channel.sessions], keys

    def groups_of(self, claims: Claims) -> tuple[str, ...]:
        """Return the groups of a client with these claims, each once."""
        return self.memberships.groups_of(claims.sub, claims.groups, claims.iat)

    def start_position(self, claims: Claims, since: Position | None = None) -> Position | None:
        """Return the id after which a session without a `last_id` starts; None to start live.

        That is where the client's last session left off, if it has none now. Otherwise it is the
        token's `pos`, unless a session has started with it already.

        `since` is the `pos` of an earlier attempt that may have been served. If it was, the session
        starts where that one did; if not, at `since` at the latest.

        Raise InputError if the `pos` is not an id.
        """
        pos = START if claims.pos is None else parse_position(claims.pos)
        channel = self.channels.get(claims.sub)
        resume_point = self._resume_points.get(claims.sub) if channel is None else None
        known = channel or resume_point
        token_start = known.token_start if known is not None else _NO_TOKEN
        if since is not None and since <= token_start.pos:
            # A later attempt may have had a newer token.
            return token_start.start if since == token_start.pos else min(token_start.start, since)
        if resume_point is not None:
            return resume_point.position if since is None else min(resume_point.position, since)
        if since is not None:
            return since
        return pos if pos > token_start.pos else None

    def add(self, session: Session, asked: Position) -> Channel:
        """Add a session to its client and its groups; return the client's channel.

        `asked` is the id after which it asked to start.
        """
        claims = session.claims
        channel = self.channels.get(claims.sub)
        if channel is None:
            resume_point = self._resume_points.pop(claims.sub, None)
            token_start = resume_point.token_start if resume_point is not None else _NO_TOKEN
            channel = self.channels[claims.sub] = Channel(token_start)
        if claims.pos is not None:
            token_start = TokenStart(parse_position(claims.pos), asked)
            if token_start.pos > channel.token_start.pos:
                channel.token_start = token_start
        channel.sessions.append(session)
        self.sessions[session] = None
        self.update_groups(session)
        return channel

    def remove(self, session: Session, forget_at: float) -> bool:
        """Remove a session; return True if its client has another.

        Otherwise a resume point is kept until `forget_at` (monotonic).
        """
        del self.sessions[session]
        self.groups.set_groups(session, ())
        client_id = session.client_id
        channel = self.channels[client_id]
        channel.sessions.remove(session)
        if channel.sessions:
            return True
        del self.channels[client_id]
        point = ResumePoint(session.position, channel.token_start, forget_at)
        self.save_resume_point(client_id, point)
        return False

    def resume_points(self) -> Iterator[tuple[str, ResumePoint]]:
        """Return the resume points with their client IDs, the oldest first."""
        return iter(self._resume_points.items())

    def save_resume_point(self, client_id: str, point: ResumePoint) -> None:
        """Keep a resume point for a client without a session."""
        self._resume_points[client_id] = point

    def update_groups(self, session: Session) -> None:
        """Set a session's groups to those that its client is in now."""
        self.groups.set_groups(session, self.groups_of(session.claims))

    def expire(self, now: float) -> None:
        """Delete resume points that are due; `now` is monotonic."""
        while self._resume_points:
            client_id, point = next(iter(self._resume_points.items()))
            if point.forget_at > now:
                break
            del self._resume_points[client_id]


_NO_TOKEN = TokenStart(START, START)  # of a client whose tokens had no `pos`


def history_keys(client_id: str, groups: Iterable[str]) -> list[str]:
    """Return the history keys of the messages that a client in `groups` receives."""
    return [EVERYONE, channel_key(client_id), *map(group_key, groups)]
