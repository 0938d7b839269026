"""The queue of one client: its presence notices and update-messages, the oldest first.

Only the first entry of a queue is ever in flight, so that one client's entries reach the
application in order. A queue is a linked list, because up to 100,000 of them hold one entry each.
"""

from collections.abc import Callable
from enum import Enum

NOTICE_OVERHEAD_BYTES = 600
"""Memory of a pending notice without its client ID, measured where it is its queue's only entry."""


class QueueState(Enum):
    """State of a client's queue; the transitions are in `outbox.py`."""

    READY = "ready"
    IN_FLIGHT = "in flight"
    REJECTED = "rejected"  # waits, because the application responded with an error
    UNREACHABLE = "unreachable"  # waits, because there was no response


class ClientQueue:
    """One client's entries.

    `schedule_id` identifies the queue's current place in the `Schedule`; places with any other id
    are stale. `failures` counts the failed attempts that determine the next wait. `retried_early`
    is set if a response to another client has ended a wait since the last response to this client.
    `unreachable_logged` is set once the log names why this client got no response.
    """

    __slots__ = (
        "call_count",
        "client_id",
        "failures",
        "first",
        "last",
        "newest_notice",
        "notice_bytes",
        "retried_early",
        "schedule_id",
        "state",
        "unreachable_logged",
    )

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.notice_bytes = NOTICE_OVERHEAD_BYTES + len(client_id.encode())
        self.first: PresenceNotice | QueuedCall | None = None
        self.last: PresenceNotice | QueuedCall | None = None
        self.newest_notice: PresenceNotice | None = None
        self.call_count = 0
        self.state = QueueState.READY
        self.schedule_id = 0
        self.failures = 0
        self.retried_early = False
        self.unreachable_logged = False


class _Entry:
    """A link of a queue; `removed` is set when it is finished or dropped."""

    __slots__ = ("next", "queue", "removed")

    def __init__(self, queue: ClientQueue) -> None:
        self.queue = queue
        self.removed = False
        self.next: PresenceNotice | QueuedCall | None = None


class PresenceNotice(_Entry):
    """A client has connected or disconnected; `number` counts the notices of all clients.

    `rejections` counts the attempts to which the application responded with an error.
    """

    __slots__ = ("connected", "number", "rejections")

    def __init__(self, queue: ClientQueue, number: int, connected: bool) -> None:
        super().__init__(queue)
        self.number = number
        self.connected = connected
        self.rejections = 0

    @property
    def in_flight(self) -> bool:
        """True while an attempt to deliver the notice is under way."""
        queue = self.queue
        return not self.removed and queue.first is self and queue.state is QueueState.IN_FLIGHT


class QueuedCall(_Entry):
    """The place in the queue of an update-message, which is sent once and never retried.

    `resolve(True)` is called when the message may be sent, `resolve(False)` if it must not be,
    because a notice before it has failed.
    """

    __slots__ = ("resolve",)

    def __init__(self, queue: ClientQueue, resolve: Callable[[bool], None]) -> None:
        super().__init__(queue)
        self.resolve = resolve
