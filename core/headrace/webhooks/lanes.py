"""A client's lane to the application: what waits for it there, the oldest first.

Notices, and between them the turns of the client's update-messages, so that none overtakes
another: only the first entry of a lane is ever under way. A lane is a chain, because a hundred
thousand of them may hold one entry each.
"""

from collections.abc import Callable
from enum import Enum

from headrace import limits


class State(Enum):
    """See the table in `outbox.py`."""

    READY = "ready"
    BUSY = "busy"
    WAITING = "waiting"


class Lane:
    """One client's entries, the oldest first. `told`: the log knows that they fail."""

    __slots__ = (
        "client_id",
        "failures",
        "first",
        "last",
        "newest",
        "notice_bytes",
        "state",
        "ticket",
        "told",
        "turns",
        "woken",
    )

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.notice_bytes = limits.NOTICE_BYTES + len(client_id.encode())
        self.first: Notice | Turn | None = None
        self.last: Notice | Turn | None = None
        self.newest: Notice | None = None
        self.turns = 0
        self.state = State.READY
        self.ticket = 0  # of its place in a queue; what has another ticket there is stale
        self.failures = 0
        self.woken = False  # set going by a success elsewhere since its own last one
        self.told = False


class _Entry:
    """A link of a lane; `gone` when it was dealt with or dropped."""

    __slots__ = ("gone", "lane", "next")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.gone = False
        self.next: Notice | Turn | None = None


class Notice(_Entry):
    """A client has come or gone; `number` is its place among all notices."""

    __slots__ = ("connected", "number")

    def __init__(self, lane: Lane, number: int, connected: bool) -> None:
        super().__init__(lane)
        self.number = number
        self.connected = connected


class Turn(_Entry):
    """The place of something that is sent only once: `decide(True)` when it may go.

    `decide(False)` says that it may not: a notice before it has failed.
    """

    __slots__ = ("decide",)

    def __init__(self, lane: Lane, decide: Callable[[bool], None]) -> None:
        super().__init__(lane)
        self.decide = decide
