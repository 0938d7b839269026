"""What the client takes and gives: one frozen struct for each body of the contract's routes.

What the server answers and the client reads alike is the server's own type.

They are read leniently: a member that a newer server adds is ignored.
"""

from collections.abc import Sequence

import msgspec

from headrace.api.presence import ClientPresence as Presence
from headrace.api.presence import GroupPresence
from headrace.api.status import Stats

__all__ = ["Channel", "GroupPresence", "Message", "Presence", "Send", "Sent", "Stats"]


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


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message to a client: its id, its data, and the group through which it came, if any."""

    id: str
    data: str
    group: str | None = None
