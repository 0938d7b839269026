"""What the client takes and gives: one frozen struct for each body of the contract's routes.

They are read leniently: a member that a newer server adds is ignored.
"""

from collections.abc import Sequence

import msgspec


class Channel(msgspec.Struct, frozen=True):
    """A channel's token, a secret of that client's; it expires at so many seconds of the epoch."""

    token: str
    client_id: str
    expires_at: float


class Sent(msgspec.Struct, frozen=True):
    """A message's id, and how many open sessions it was queued for."""

    id: str
    sessions: int


class Send(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One send of a batch: the data and exactly one of `to`, `group` and `everyone`.

    `to` is a client ID or several. A send without `idempotency_key` is given one, so that a retry
    cannot send it twice.
    """

    data: str
    to: str | Sequence[str] = ()
    group: str | None = None
    everyone: bool = False
    idempotency_key: str | None = None


class Presence(msgspec.Struct, frozen=True):
    """Whether a client is there, since when (seconds since the epoch), with how many sessions.

    For the grace after its last session a client is still online, with none.
    """

    client_id: str
    online: bool
    since: float | None
    sessions: int


class GroupPresence(msgspec.Struct, frozen=True):
    """The clients of a group that have a session, and how many they are."""

    group: str
    count: int
    clients: tuple[Presence, ...]


class Stats(msgspec.Struct, frozen=True):
    """What `GET /v1/stats` says: sizes as they are now, counters since the server's start."""

    version: str
    uptime_s: float
    sessions: int
    clients: int
    groups: int
    messages: int
    deliveries: int
    dropped: int
    slow_closed: int
    history_bytes: int


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message to a client: its id, its data, and the group through which it came, if any."""

    id: str
    data: str
    group: str | None = None
