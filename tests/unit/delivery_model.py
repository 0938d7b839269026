"""What the model of a hub owes each session, and the check of all that the session is given."""

from collections import deque
from typing import Any, NamedTuple

from tests.unit.fakes import MemorySink, fields_of, messages_of

from headrace.entries import Entry
from headrace.history import EVERYONE, channel_key, group_key
from headrace.message import Encodable, Message, Notice
from headrace.position import START, Position, parse_position
from headrace.ring import RingBounds
from headrace.session import Session


class Tab:
    """One session: what it is owed by the model, and the check of all that it is given."""

    def __init__(
        self,
        client_id: str,
        groups: tuple[str, ...],
        claimed: tuple[str, ...],
        order: int,
        bounds: RingBounds,
    ) -> None:
        self.client_id = client_id
        self.claimed = claimed  # groups that the token names
        self.bounds = bounds
        self.sink = MemorySink()
        self.session: Session | None = None  # not before `attach` has returned
        self.paused = False
        self.plan: list[str | Entry] = []
        self.replay: deque[Message] = deque()
        self.live: deque[Message] = deque()
        self.dropped: list[Message] = []
        self.last = START  # the id that this client would resume at
        self.opens: tuple[str, bool | None] | None = None  # the id and `recovered` to be announced
        self.orders: dict[str, int] = {}  # by key of a group: when it came to it
        self.subscribe(groups, order)

    def subscribe(self, groups: tuple[str, ...], order: int) -> None:
        group_keys = list(map(group_key, groups))
        self.keys = [EVERYONE, channel_key(self.client_id), *group_keys]
        self.orders = {key: self.orders.get(key, order) for key in group_keys}

    @property
    def opened(self) -> bool:
        return self.opens is None

    @property
    def owed(self) -> int:
        return len(self.replay) + len(self.live)

    def push(self, message: Message, *, drop_oldest: bool) -> bool:
        """Owe it the message; False where it is too slow to be owed any more."""
        while self.live and (
            len(self.live) == self.bounds.max_messages
            or sum(m.size_bytes for m in self.live) + message.size_bytes > self.bounds.max_bytes
        ):
            if not drop_oldest:
                return False
            self.dropped.append(self.live.popleft())
        self.live.append(message)
        return True

    def receive(self, what: Encodable) -> None:
        if isinstance(what, Notice):
            self.receive_notice(fields_of(what))
        for message in messages_of(what):
            assert self.opened, "open comes first"
            assert self.replay or not self.dropped, "a gap is told before what follows it"
            owed = (self.replay or self.live).popleft()
            assert (message.position, message.data) == (owed.position, owed.data)
            assert message.group == owed.group
            assert message.position > self.last
            self.last = message.position

    def receive_notice(self, fields: dict[str, Any]) -> None:
        if fields["type"] == "open":
            assert (fields["id"], fields["recovered"]) == self.opens
            self.opens = None
            self.last = parse_position(fields["id"])
            return
        assert fields["type"] == "gap"
        assert not self.replay
        after, before = parse_position(fields["after"]), parse_position(fields["before"])
        assert (after, before) == (self.last, self.live[0].position)
        assert all(after < message.position < before for message in self.dropped)
        assert self.dropped, "a gap names something that is missing"
        self.dropped.clear()


class Left(NamedTuple):
    """Where a client that has no session left off."""

    position: Position
    newest_pos: Position
    forget_at: float
