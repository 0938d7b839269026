"""What goes through the backplane, and so happens on every node, in one order.

An `Entry` is a send. The other three change what later sends reach: they are entries of the same
log, so that all nodes agree on what came before what.
"""

from typing import TypeAlias

import msgspec


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="send"):
    """A send before it has its place: the data and exactly one kind of target.

    `Hub.publish` checks it.
    """

    data: str
    to: tuple[str, ...] = ()
    group: str | None = None
    everyone: bool = False


class Join(msgspec.Struct, frozen=True, tag="join"):
    """The application puts a client into a group; `at` is the Unix time in seconds."""

    client_id: str
    group: str
    at: float


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """The application takes a client out of a group; `at` is the Unix time in seconds."""

    client_id: str
    group: str
    at: float


class Revoke(msgspec.Struct, frozen=True, tag="revoke"):
    """A client's tokens issued up to `at` (Unix time) open nothing any more."""

    client_id: str
    at: float


AnyEntry: TypeAlias = Entry | Join | Leave | Revoke
