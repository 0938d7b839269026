"""The entries of the log: what the backplane orders and every node applies in the same order.

An `Entry` is a send. `Join`, `Leave` and `Revoke` change which sessions later sends reach; they are
in the same log, so that all nodes agree on the order of sends and changes.
"""

from typing import NamedTuple, TypeAlias

import msgspec

from headrace.messages.position import Position


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="send"):
    """A send before it has a position: the data and exactly one kind of target.

    `validation.check_entry` checks it.
    """

    data: str
    to: tuple[str, ...] = ()
    group: str | None = None
    everyone: bool = False


class Join(msgspec.Struct, frozen=True, tag="join"):
    """The application adds a client to a group; `at` is Unix time in seconds."""

    client_id: str
    group: str
    at: float


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """The application removes a client from a group; `at` is Unix time in seconds."""

    client_id: str
    group: str
    at: float


class Revoke(msgspec.Struct, frozen=True, tag="revoke"):
    """The application revokes a client's tokens issued up to `at`, Unix time in seconds."""

    client_id: str
    at: float


Change: TypeAlias = Join | Leave | Revoke
"""An entry that changes what later sends reach."""

AnyEntry: TypeAlias = Entry | Change


class Receipt(NamedTuple):
    """The result of an appended entry: its id, and the number of sessions it was queued for."""

    id: Position
    sessions: int


class KeyedReceipt(NamedTuple):
    """The receipt of an entry with an idempotency key, which is valid for `left_s` seconds more.

    `digest` identifies the entry's content; empty if it is not known.
    """

    key: str
    left_s: float
    receipt: Receipt
    digest: bytes
