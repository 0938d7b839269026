"""Totals since the start of a hub."""


class Counters:
    """Totals since the start, as `GET /v1/stats` reports them."""

    __slots__ = ("deliveries", "dropped", "messages", "slow_closed")

    def __init__(self) -> None:
        self.messages = 0
        self.deliveries = 0
        self.dropped = 0
        self.slow_closed = 0
