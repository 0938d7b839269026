"""A model of the messages that each session must get, and a check of everything it gets."""

from collections import deque
from typing import Any, NamedTuple

from tests.helpers.fakes import MemorySink, fields_of, messages_of

from headrace.hub.history import EVERYONE, channel_key, group_key
from headrace.hub.ring import RingBounds
from headrace.hub.session import Session
from headrace.messages.entries import Entry
from headrace.messages.message import ControlMessage, Encodable, Message
from headrace.messages.position import START, Position, parse_position


class Tab:
    """One session: the messages that it must get, and a check of everything that it gets."""

    def __init__(
        self,
        client_id: str,
        groups: tuple[str, ...],
        claimed: tuple[str, ...],
        order: int,
        bounds: RingBounds,
    ) -> None:
        self.client_id = client_id
        self.claimed = claimed  # the groups in the token
        self.bounds = bounds
        self.sink = MemorySink()
        self.session: Session | None = None  # set when `attach` has returned
        self.paused = False
        self.plan: list[str | Entry] = []
        self.replay: deque[Message] = deque()
        self.live: deque[Message] = deque()
        self.dropped: list[Message] = []
        self.last = START  # the id at which this client would resume
        self.opens: tuple[str, bool | None] | None = None  # the id and `recovered` to expect
        self.orders: dict[str, int] = {}  # for each group key: when the session was added
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
        """Add a message that it must get; return False if its backlog is full."""
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
        if isinstance(what, ControlMessage):
            self.receive_control(fields_of(what))
        for message in messages_of(what):
            assert self.opened, "open comes first"
            assert self.replay or not self.dropped, "a gap is sent before the message after it"
            owed = (self.replay or self.live).popleft()
            assert (message.position, message.data) == (owed.position, owed.data)
            assert message.group == owed.group
            assert message.position > self.last
            self.last = message.position

    def receive_control(self, fields: dict[str, Any]) -> None:
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
        assert self.dropped, "a gap means that something was dropped"
        self.dropped.clear()


class ModelResumePoint(NamedTuple):
    """Where the last session of a client without a session left off."""

    position: Position
    newest_pos: Position
    forget_at: float
