"""The backplane of a single process: positions from the clock, applied in the same call."""

from collections.abc import Iterable, Iterator
from typing import Final

from headrace.backplane.base import RecordChange, ReservePositions
from headrace.backplane.idempotency import IdempotencyCache, digest_of
from headrace.hub.core import HubCore
from headrace.messages.entries import AnyEntry, Entry, KeyedReceipt, Receipt
from headrace.messages.position import Position

RESERVED_MS: Final = 1000
"""How far ahead of the clock a process reserves positions."""


class LocalBackplane:
    """A `Backplane` for one hub in one process. `append` of a send never waits."""

    def __init__(self, core: HubCore) -> None:
        self._core = core
        self._receipts = IdempotencyCache()
        self._reserve: ReservePositions | None = None
        self._record: RecordChange | None = None
        self._reserved_ms = 0

    async def append(self, entry: AnyEntry, idempotency_key: str | None = None) -> Receipt:
        """Order `entry` and apply it. See `Backplane.append`."""
        core = self._core
        digest = b""
        if idempotency_key is not None:
            digest = digest_of(entry)
            known = self._receipts.get(idempotency_key, digest, core.clocks.monotonic())
            if known is not None:
                return known
        latest = core.history.latest
        now_ms = int(core.clocks.unix() * 1000)
        if now_ms > latest.ms:
            position = Position(now_ms, 0)
        else:  # the same millisecond, or a clock that was set back
            position = Position(latest.ms, latest.seq + 1)
        if self._reserve is not None and position.ms > self._reserved_ms:
            self._reserved_ms = position.ms + RESERVED_MS
            self._reserve(self._reserved_ms)
        receipt = Receipt(position, core.apply(entry, position))
        if self._record is not None and not isinstance(entry, Entry):
            await self._record(entry, position)
        if idempotency_key is not None:
            self._receipts.put(idempotency_key, digest, receipt, core.clocks.monotonic())
        return receipt

    async def close(self) -> None:
        """Do nothing: there is no connection to release."""

    def receipts(self) -> Iterator[KeyedReceipt]:
        """Yield the receipts of the remembered idempotency keys, the oldest first."""
        return self._receipts.items(self._core.clocks.monotonic())

    def restore(
        self, receipts: Iterable[KeyedReceipt], reserve: ReservePositions, record: RecordChange
    ) -> None:
        """Continue an earlier process's log; `reserve` is called at most once in `RESERVED_MS`."""
        now = self._core.clocks.monotonic()
        for saved in receipts:
            self._receipts.restore(saved, now)
        self._reserve = reserve
        self._record = record

    def reserve_again(self) -> None:
        """See `Backplane.reserve_again`."""
        self._reserved_ms = 0
