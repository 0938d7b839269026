"""The order of one process: a counter and a function call."""

from headrace.entries import AnyEntry
from headrace.hub import Hub, Receipt
from headrace.position import PositionCounter


class LocalBackplane:
    """Orders the entries of one hub and has it apply them at once."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._counter = PositionCounter(hub.history.latest)

    async def append(self, entry: AnyEntry) -> Receipt:
        """Order `entry` and apply it; never waits."""
        position = self._counter.next(int(self._hub.clocks.unix() * 1000))
        return Receipt(position, self._hub.apply(entry, position))
