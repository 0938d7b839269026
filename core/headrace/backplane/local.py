"""The order of one process: a counter and a function call."""

from collections.abc import Callable

from headrace import limits
from headrace.entries import AnyEntry
from headrace.hub import Hub, Receipt
from headrace.position import PositionCounter


class LocalBackplane:
    """Orders the entries of one hub and has it apply them at once."""

    def __init__(self, hub: Hub, reserve: Callable[[int], None] | None = None) -> None:
        """`reserve(until_ms)` notes, before they are used, that ids up to there may be.

        It is called at most once in `limits.IDS_RESERVED_MS`, and only while there are entries. A
        process that comes after a crash begins behind them, whatever its clock says.
        """
        self._hub = hub
        self._counter = PositionCounter(hub.history.latest)
        self._reserve = reserve
        self._reserved_ms = -1

    async def append(self, entry: AnyEntry) -> Receipt:
        """Order `entry` and apply it; never waits."""
        position = self._counter.next(int(self._hub.clocks.unix() * 1000))
        if position.ms > self._reserved_ms and self._reserve is not None:
            self._reserved_ms = position.ms + limits.IDS_RESERVED_MS
            self._reserve(self._reserved_ms)
        return Receipt(position, self._hub.apply(entry, position))
