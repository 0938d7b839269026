"""Who is there: per client, not per tab, and told once, in order.

    absent ──first session──▶ PRESENT ──last session gone──▶ LEAVING ──grace over──▶ absent
              (connected)                                      │        (disconnected)
                                 ▲─────────a session──────────┘  (nothing is told)

The grace bridges a reload of the page, a lost connection and the pause between two long polls.
Times are arguments: `now` in seconds of the monotonic clock, `unix` in seconds since the epoch.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Change(NamedTuple):
    """A client has come or gone."""

    client_id: str
    connected: bool


class Presence:
    """The clients that are there, and since when."""

    __slots__ = ("_awaited", "_grace_s", "_leaving", "_since", "_tell")

    def __init__(self, grace_s: float, tell: Callable[[Change], None]) -> None:
        """`tell` is called with every change, at the moment it counts."""
        self._grace_s = grace_s
        self._tell = tell
        self._since: dict[str, float] = {}
        # When each one's grace ends, in that order; apart, those of an earlier process.
        self._leaving: OrderedDict[str, float] = OrderedDict()
        self._awaited: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._since)

    def since(self, client_id: str) -> float | None:
        """Return since when (Unix time) the client has been there; None where it is not."""
        return self._since.get(client_id)

    def clients(self) -> dict[str, float]:
        """Return since when each client has been there."""
        return dict(self._since)

    def expect(self, clients: Mapping[str, float], until: float) -> None:
        """Take up clients that another process knew, since when; `until` they may come back."""
        self._since.update(clients)
        self._awaited.update(dict.fromkeys(clients, until + self._grace_s))

    def came(self, client_id: str, unix: float) -> None:
        """Take note of a client's first session."""
        self._leaving.pop(client_id, None)
        self._awaited.pop(client_id, None)
        if client_id not in self._since:
            self._since[client_id] = unix
            self._tell(Change(client_id, connected=True))

    def went(self, client_id: str, now: float) -> None:
        """Take note that a client's last session has ended."""
        if client_id in self._since:
            self._leaving[client_id] = now + self._grace_s

    def expire(self, now: float) -> None:
        """Tell of the clients whose grace is over; to be called several times a second."""
        for ending in (self._leaving, self._awaited):
            while ending:
                client_id, ends_at = next(iter(ending.items()))
                if ends_at > now:
                    break
                self._end(client_id)

    def end_all(self) -> None:
        """Tell of everybody's going: the process ends and nobody will watch them."""
        for client_id in list(self._since):
            self._end(client_id)

    def _end(self, client_id: str) -> None:
        self._leaving.pop(client_id, None)
        self._awaited.pop(client_id, None)
        del self._since[client_id]
        self._tell(Change(client_id, connected=False))
