"""Presence: which clients are online, and when that changes.

A client is online from its first session until `grace_s` after its last one. A client that returns
within that time stays online, so a page reload, a lost connection or the pause between two long
polls changes nothing.

    offline ──first session──▶ ONLINE ──last session closed──▶ LEAVING ──grace over──▶ offline
               (connected)        ▲                               │    (disconnected)
                                  └──────────new session──────────┘

Times are arguments: `now` in seconds of the monotonic clock, `unix` in seconds since the epoch.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple


class PresenceChange(NamedTuple):
    """A client has connected, or has disconnected."""

    client_id: str
    connected: bool


class Presence:
    """The clients that are online, and since when."""

    __slots__ = ("_grace_s", "_is_held", "_leaving", "_on_change", "_restored", "_since")

    def __init__(self, grace_s: float, on_change: Callable[[PresenceChange], None]) -> None:
        """`on_change` is called once for each change, in order."""
        self._grace_s = grace_s
        self._on_change = on_change
        self._since: dict[str, float] = {}
        self._is_held = False
        # When the grace of each client ends, in that order. Clients of an earlier process are
        # apart, because they have more time.
        self._leaving: OrderedDict[str, float] = OrderedDict()
        self._restored: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._since)

    def since(self, client_id: str) -> float | None:
        """Return since when (Unix time) the client is online; None if it is not."""
        return self._since.get(client_id)

    def clients(self) -> dict[str, float]:
        """Return since when each online client is online."""
        return dict(self._since)

    def restore(self, clients: Mapping[str, float], until: float) -> None:
        """Add the `clients()` of an earlier process; they are online until `until` plus the grace.

        No change is reported for them now.
        """
        self._since.update(clients)
        self._restored.update(dict.fromkeys(clients, until + self._grace_s))

    def session_opened(self, client_id: str, unix: float) -> None:
        """Record that a client has a session."""
        self._leaving.pop(client_id, None)
        self._restored.pop(client_id, None)
        if client_id not in self._since:
            self._since[client_id] = unix
            self._on_change(PresenceChange(client_id, connected=True))

    def last_session_closed(self, client_id: str, now: float) -> None:
        """Record that a client has no session left; its grace begins."""
        if client_id in self._since:
            self._leaving[client_id] = now + self._grace_s

    def hold(self) -> None:
        """Disconnect nobody from now on: the clients will reconnect to the next process."""
        self._is_held = True

    def expire(self, now: float) -> None:
        """Disconnect the clients whose grace is over; to be called several times a second."""
        if self._is_held:
            return
        for ending in (self._leaving, self._restored):
            while ending:
                client_id, ends_at = next(iter(ending.items()))
                if ends_at > now:
                    break
                self._disconnect(client_id)

    def disconnect_all(self) -> None:
        """Disconnect all clients at once: the process ends, and cannot do so later."""
        for client_id in list(self._since):
            self._disconnect(client_id)

    def _disconnect(self, client_id: str) -> None:
        self._leaving.pop(client_id, None)
        self._restored.pop(client_id, None)
        del self._since[client_id]
        self._on_change(PresenceChange(client_id, connected=False))
