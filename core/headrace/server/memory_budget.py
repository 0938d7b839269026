"""Limit the memory that peers make the server hold: unfinished requests and unread responses.

A connection reports what it holds for its peer with `hold`. Two limits apply:

    of one owner     a client, or an address without a token: its requests are refused with 429
    of all           the connections that hold most are aborted, until `total_max_bytes` is kept

The second limit aborts the largest instead of refusing new requests, so that a few owners cannot
keep all others out. The application is not counted: it has the API key.
"""

import logging
from typing import Final, NamedTuple, Protocol

from headrace.errors import RateLimitedError

CLIENT_MAX_BYTES: Final = 4 * 1024 * 1024
"""What the requests and responses of one client may hold together."""

ADDRESS_MAX_BYTES: Final = 16 * 1024 * 1024
"""The same for one address without tokens: there may be a proxy with many users."""

TOTAL_MAX_BYTES: Final = 64 * 1024 * 1024

COUNTED_MIN_BYTES: Final = 16 * 1024
"""A connection that holds less is not counted: this is no more than other connections cost."""

_ABORT_TO: Final = 0.75
"""Aborting ends at this share of the total, so that it is not repeated for each further byte."""

_RETRY_AFTER_S: Final = 1.0

_log = logging.getLogger("headrace")


class Holder(Protocol):
    """A connection, as far as the budget needs to end it."""

    def abort(self) -> None:
        """Close at once."""


class Owner(NamedTuple):
    """Whose memory it is: a client ID, or an address without a token."""

    client_id: str | None = None
    address: str = ""

    @property
    def max_bytes(self) -> int:
        """The limit for this owner."""
        return ADDRESS_MAX_BYTES if self.client_id is None else CLIENT_MAX_BYTES


class MemoryBudget:
    """The bytes held by connections, per owner and in total.

    `full_owners` are over their limit: only if there are any, a new request needs a
    `check`.
    """

    __slots__ = ("_owned", "full_owners", "held", "total_bytes", "total_max_bytes")

    def __init__(self, total_max_bytes: int = TOTAL_MAX_BYTES) -> None:
        self.total_bytes = 0
        self.total_max_bytes = total_max_bytes
        self.held: dict[Holder, tuple[Owner, int]] = {}
        """The connections that hold something, each with its owner and the bytes."""
        self._owned: dict[Owner, int] = {}
        self.full_owners: set[Owner] = set()
        """The owners over their limit."""

    def is_full(self, owner: Owner) -> bool:
        """Return whether the owner is over its limit."""
        return owner in self.full_owners

    def check(self, owner: Owner) -> None:
        """Raise RateLimitedError if the owner is over its limit."""
        if self.is_full(owner):
            raise RateLimitedError(
                f"unfinished requests and unread responses of this client hold"
                f" {self._owned[owner]} bytes, more than {owner.max_bytes}; finish or read those"
                " first",
                _RETRY_AFTER_S,
            )

    def hold(self, holder: Holder, owner: Owner, size_bytes: int) -> None:
        """Set what a connection holds. May abort connections, this one too."""
        if size_bytes < COUNTED_MIN_BYTES:
            self.release(holder)
            return
        previous = self.held.get(holder)
        if previous is not None and previous[0] != owner:
            self.release(holder)
            previous = None
        self.held[holder] = owner, size_bytes
        self._add(owner, size_bytes - (0 if previous is None else previous[1]))
        if self.total_bytes > self.total_max_bytes:
            self._abort_largest()

    def release(self, holder: Holder) -> None:
        """Count nothing for a connection any more."""
        held = self.held.pop(holder, None)
        if held is not None:
            owner, size_bytes = held
            self._add(owner, -size_bytes)

    def _add(self, owner: Owner, size_bytes: int) -> None:
        self.total_bytes += size_bytes
        owned_bytes = self._owned.get(owner, 0) + size_bytes
        if owned_bytes:
            self._owned[owner] = owned_bytes
        else:
            self._owned.pop(owner, None)
        if owned_bytes > owner.max_bytes:
            self.full_owners.add(owner)
        else:
            self.full_owners.discard(owner)

    def _abort_largest(self) -> None:
        before_bytes = self.total_bytes
        holders = sorted(self.held, key=lambda holder: self.held[holder][1])
        count = 0
        while holders and self.total_bytes > _ABORT_TO * self.total_max_bytes:
            holder = holders.pop()
            self.release(holder)
            holder.abort()
            count += 1
        _log.warning(
            "aborted %d connections: unfinished requests and unread responses held %d bytes,"
            " %d are allowed",
            count,
            before_bytes,
            self.total_max_bytes,
        )
