"""An outbox whose time the test moves."""

from headrace.presence import Change
from headrace.webhooks.lanes import Notice
from headrace.webhooks.outbox import Outbox


class Bench:
    """An outbox with a clock of its own; all waits are as long as they may be."""

    def __init__(self, jitter: float = 1.0) -> None:
        self.outbox = Outbox(lambda: jitter)
        self.now = 1000.0

    def come(self, *client_ids: str) -> None:
        for client_id in client_ids:
            self.outbox.put(Change(client_id, connected=True))

    def go(self, *client_ids: str) -> None:
        for client_id in client_ids:
            self.outbox.put(Change(client_id, connected=False))

    def next(self) -> Notice | None:
        return self.outbox.next(self.now)

    def expect(self, client_id: str, *, connected: bool = True) -> Notice:
        notice = self.next()
        assert notice is not None
        assert (notice.lane.client_id, notice.connected) == (client_id, connected)
        return notice

    def fail(self, notice: Notice, at_least_s: float = 0.0) -> None:
        self.outbox.failed(notice, self.now, at_least_s)

    def fail_all(self) -> None:
        """Fail what can be had at once, all of it under way together."""
        for notice in list(iter(self.next, None)):
            self.fail(notice)

    def wait(self) -> float:
        """Move on to when there is something; return how long that took."""
        at = self.outbox.next_at(self.now)
        assert at is not None
        waited_s = at - self.now
        self.now = at
        return waited_s

    def take_all(self) -> list[tuple[str, bool]]:
        """Take everything, however long it takes."""
        taken = []
        while len(self.outbox):
            self.wait()
            notice = self.next()
            assert notice is not None
            taken.append((notice.lane.client_id, notice.connected))
            self.outbox.taken(notice)
        assert self.outbox.next_at(self.now) is None
        assert self.outbox.size_bytes == 0
        return taken
