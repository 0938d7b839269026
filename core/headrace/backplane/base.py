"""The interface of a backplane, and what every implementation promises.

A backplane is the log behind `Hub.send`: it orders entries and has every node apply each of them.
The hub validates an entry, calls `append`, and does not know which backplane it has.

Order
    Each entry gets a position greater than those of all entries before it. Every node applies the
    entries once each, in the order of their positions. Positions are never reused, not even by a
    process that starts after a crash.
Atomicity
    Checking the idempotency key, choosing the position and storing the entry are one step: no other
    entry comes between them. When `append` returns, the entry is in the log and the calling node
    has applied it. When it raises UnavailableError, no node has applied a send or will. A join,
    leave or revocation may have been applied then, but a crash may undo it: repeat it.
Idempotency
    Entries with the same idempotency key are one entry: a second `append` within
    `IDEMPOTENCY_S` seconds returns the first one's receipt and appends nothing, or raises
    ConflictError if the entry differs from the first. No key is dropped earlier: when no more keys
    can be remembered, `append` with a new one raises UnavailableError. This holds across nodes and
    across planned restarts, which is why the key is the backplane's business: a retry may reach
    another process than the first try.
No re-entry
    Nothing that an entry causes while it is applied appends another entry synchronously.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, Protocol, TypeAlias

from headrace.messages.entries import AnyEntry, Change, KeyedReceipt, Receipt
from headrace.messages.position import Position

IDEMPOTENCY_S: Final = 300.0
"""How long an idempotency key is remembered after its send."""


ReservePositions: TypeAlias = Callable[[int], None]
RecordChange: TypeAlias = Callable[[Change, Position], Awaitable[None]]


class Backplane(Protocol):
    """Orders entries, and has every node apply them. See the module's docstring."""

    async def append(self, entry: AnyEntry, idempotency_key: str | None = None) -> Receipt:
        """Append a validated entry; return its position and the sessions it was queued for.

        Raises UnavailableError if the log cannot be reached or no more idempotency keys can be
        remembered, ConflictError if the key was used for another entry; nothing was appended then.
        """

    async def close(self) -> None:
        """Release the connections of the backplane. A second call does nothing."""

    # A planned restart carries the local log's state to the next process. A backplane whose log
    # outlives the process has nothing to carry over.

    def receipts(self) -> Iterator[KeyedReceipt]:
        """Yield the receipts of the remembered idempotency keys, the oldest first."""

    def restore(
        self, receipts: Iterable[KeyedReceipt], reserve: ReservePositions, record: RecordChange
    ) -> None:
        """Continue the log of an earlier process, before the first `append`.

        `receipts` is what the earlier process's `receipts()` returned. `reserve(until_ms)` must
        store durably that positions up to `until_ms` may have been used. It is called before they
        are, so that a process that starts after a crash uses none of them again, whatever its clock
        says. `record(change, position)` must store a join, leave or revocation durably, or raise
        UnavailableError; `append` waits for it.
        """

    def reserve_again(self) -> None:
        """Call `reserve` before the next `append`, because the state so far has been saved."""
