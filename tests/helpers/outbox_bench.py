"""An `Outbox` with a manual clock."""

from headrace.hooks.client_queue import PresenceNotice
from headrace.hooks.outbox import DropReason, Outbox
from headrace.hub.presence import PresenceChange


class OutboxBench:
    """An outbox and the time; with the default `jitter` each wait has its maximum length."""

    def __init__(self, jitter: float = 1.0, max_attempts: int = 10) -> None:
        self.outbox = Outbox(lambda: jitter, max_attempts)
        self.now = 1000.0

    @property
    def overflowed(self) -> int:
        """The number of notices that were dropped because there were too many."""
        return self.outbox.dropped[DropReason.OVERFLOW]

    @property
    def gave_up(self) -> int:
        """The number of notices that were dropped after their last attempt."""
        return self.outbox.dropped[DropReason.REJECTED]

    def connected(self, *client_ids: str) -> None:
        for client_id in client_ids:
            self.outbox.enqueue(PresenceChange(client_id, connected=True))

    def disconnected(self, *client_ids: str) -> None:
        for client_id in client_ids:
            self.outbox.enqueue(PresenceChange(client_id, connected=False))

    def next_notice(self) -> PresenceNotice | None:
        return self.outbox.next_notice(self.now)

    def next_notices(self) -> list[PresenceNotice]:
        """Return all notices that can be in flight now."""
        return list(iter(self.next_notice, None))

    def expect(self, client_id: str, *, connected: bool = True) -> PresenceNotice:
        """Return the next notice, which must be this one."""
        notice = self.next_notice()
        assert notice is not None
        assert (notice.queue.client_id, notice.connected) == (client_id, connected)
        return notice

    def expect_any(self) -> PresenceNotice:
        """Return the next notice; there must be one."""
        notice = self.next_notice()
        assert notice is not None
        return notice

    def reject(self, notice: PresenceNotice, retry_after_s: float = 0.0) -> bool:
        """End an attempt with an error response; return True if the notice was dropped."""
        return self.outbox.rejected(notice, self.now, retry_after_s)

    def unreachable(self, notice: PresenceNotice) -> None:
        """End an attempt without a response."""
        self.outbox.unreachable(notice, self.now)

    def all_unreachable(self) -> None:
        """End all attempts that can be made now without a response; they are concurrent."""
        for notice in self.next_notices():
            self.unreachable(notice)

    def advance(self) -> float:
        """Move the clock to the next attempt; return by how many seconds."""
        at = self.outbox.next_attempt_at(self.now)
        assert at is not None
        waited_s = at - self.now
        self.now = at
        return waited_s

    def deliver_all(self) -> list[tuple[str, bool]]:
        """Deliver all notices, one at a time; return client and state of each one."""
        delivered = []
        while len(self.outbox):
            self.advance()
            notice = self.expect_any()
            delivered.append((notice.queue.client_id, notice.connected))
            self.outbox.delivered(notice)
        assert self.outbox.next_attempt_at(self.now) is None
        assert self.outbox.size_bytes == 0
        return delivered
