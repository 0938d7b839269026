"""Small stand-ins for what the layers below the socket are given: time, a loop's tick, a client."""

import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from headrace import limits
from headrace.backplane.local import LocalBackplane
from headrace.entries import AnyEntry, Entry
from headrace.hub import Clocks, Hub, Receipt
from headrace.message import Encodable, Form, Message, Notice, Run
from headrace.position import START, Position
from headrace.session import Session
from headrace.settings import Settings
from headrace.tokens import Claims

UNIX_S = 1_732_412_345.0
Returned = TypeVar("Returned")


def run_now(coroutine: Coroutine[Any, Any, Returned]) -> Returned:
    """The result of a coroutine that must not wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        value: Returned = finished.value
        return value
    coroutine.close()
    raise AssertionError("the coroutine waited")


class ManualClock:
    """A monotonic and a Unix clock that stand still until they are moved."""

    def __init__(self) -> None:
        self.monotonic_s = 1000.0
        self.unix_s = UNIX_S

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.monotonic_s, lambda: self.unix_s)

    def advance(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.unix_s += seconds


class MemorySink:
    """A client that remembers what it was given; `on_deliver` and `on_close` act as its owner."""

    def __init__(
        self,
        on_deliver: Callable[[Encodable], object] | None = None,
        on_close: Callable[[int], object] | None = None,
    ) -> None:
        self.delivered: list[Encodable] = []
        self.closes: list[tuple[int, str]] = []
        self.on_deliver = on_deliver
        self.on_close = on_close

    def deliver(self, what: Encodable, now: float) -> None:
        assert not self.closes, "nothing is delivered after the close"
        self.delivered.append(what)
        if self.on_deliver:
            self.on_deliver(what)

    def close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))
        if self.on_close:
            self.on_close(code)

    @property
    def messages(self) -> list[Message]:
        return [message for what in self.delivered for message in messages_of(what)]

    @property
    def data(self) -> list[str]:
        return [message.data for message in self.messages]

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [fields_of(what) for what in self.delivered if isinstance(what, Notice)]

    @property
    def opened(self) -> dict[str, Any]:
        """The latest `open` notice."""
        return [notice for notice in self.notices if notice["type"] == "open"][-1]

    @property
    def close_codes(self) -> list[int]:
        return [code for code, _ in self.closes]


def messages_of(what: Encodable) -> tuple[Message, ...]:
    """The messages in something that was delivered."""
    if isinstance(what, Run):
        return what.messages
    return (what,) if isinstance(what, Message) else ()


def fields_of(notice: Notice) -> dict[str, Any]:
    """A notice's JSON, as a client reads it."""
    fields: dict[str, Any] = msgspec.json.decode(notice.encoded(Form.POLL))
    return fields


class HubBench:
    """A hub with manual time, whose ticks end when `tick()` says so."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.scheduled: list[Callable[[], None]] = []
        self.hub = Hub(Settings(**settings), self.clock.clocks, self.scheduled.append)
        self.hub.backplane = LocalBackplane(self.hub)

    def tick(self) -> None:
        """End the loop's tick: run what was scheduled before."""
        callbacks, self.scheduled[:] = self.scheduled[:], []
        for callback in callbacks:
            callback()

    def send(self, *to: str, data: str) -> Receipt:
        return self.publish(Entry(data=data, to=to))

    def publish(self, entry: AnyEntry) -> Receipt:
        return run_now(self.hub.publish(entry))

    def attach(
        self,
        client_id: str,
        *,
        sink: MemorySink | None = None,
        last_id: Position | None = None,
        groups: tuple[str, ...] = (),
        pos: Position | None = None,
    ) -> tuple[Session, MemorySink]:
        sink = sink or MemorySink()
        claims = claims_of(client_id, groups=groups, pos=pos)
        return self.hub.attach(claims, sink, last_id), sink


def claims_of(
    client_id: str, *, groups: tuple[str, ...] = (), pos: Position | None = None
) -> Claims:
    exp = UNIX_S + 7200
    return Claims(client_id, exp, groups=groups, pos=None if pos is None else str(pos))


def history_bytes(*entries: tuple[Message, tuple[str, ...]], floors: int = 0) -> int:
    """What a history of these entries, and so many floors, counts."""
    logs = {key for _, keys in entries for key in keys}
    return (
        sum(entry_bytes(sent, keys) for sent, keys in entries)
        + len(logs) * limits.HISTORY_LOG_BYTES
        + floors * limits.HISTORY_FLOOR_BYTES
    )


def entry_bytes(sent: Message, keys: tuple[str, ...]) -> int:
    held = sys.getsizeof(sent.data) + len(msgspec.json.encode(sent.data))
    names = [*keys] if sent.group is None else [*keys, sent.group]
    return (
        held
        + held // limits.HISTORY_GAPS_SHARE
        + limits.HISTORY_ENTRY_BYTES
        + sum(limits.HISTORY_KEY_BYTES + len(name) for name in names)
    )


class NaiveHistory:
    """Remembers everything, and beside it what a history may still have."""

    def __init__(
        self, start: Position, max_bytes: int, max_age_s: float, key_max_messages: int
    ) -> None:
        self.everything: list[tuple[Message, tuple[str, ...]]] = []
        self.first_kept = 0
        self.last_evicted: dict[str, Position] = {}  # by key, in order
        self.start = self.latest = start
        self.max_bytes, self.max_age_s = max_bytes, max_age_s
        self.key_max_messages = key_max_messages

    def append(self, sent: Message, keys: tuple[str, ...]) -> None:
        self.everything.append((sent, keys))
        self.latest = sent.position
        while self.size_bytes + self.floors_bytes > self.max_bytes:
            self.evict()

    def expire(self, now_ms: int) -> None:
        while (kept := self.kept) and now_ms - kept[0][0].position.ms > self.max_age_s * 1000:
            self.evict()

    def evict(self) -> None:
        sent, keys = self.everything[self.first_kept]
        self.first_kept += 1
        for key in keys:
            self.last_evicted.pop(key, None)
            self.last_evicted[key] = sent.position

    @property
    def floor(self) -> Position:
        """The newest of the losses that are forgotten, all but each key's last not counted."""
        forgotten = list(self.last_evicted.values())
        if self.max_floors:
            del forgotten[-self.max_floors :]
        return forgotten[-1] if forgotten else self.start

    @property
    def floors_bytes(self) -> int:
        return limits.HISTORY_FLOOR_BYTES * min(len(self.last_evicted), self.max_floors)

    @property
    def max_floors(self) -> int:
        share_bytes = self.max_bytes // limits.HISTORY_FLOORS_SHARE
        return min(limits.HISTORY_FLOORS_MAX_KEYS, share_bytes // limits.HISTORY_FLOOR_BYTES)

    def floor_of(self, keys: list[str]) -> Position:
        """Return from where on all is known to be there."""
        return max(self.floor, self.last_lost(keys))

    @property
    def kept(self) -> list[tuple[Message, tuple[str, ...]]]:
        return self.everything[self.first_kept :]

    @property
    def size_bytes(self) -> int:
        # A log lives for as long as it has something; what its own bound took is counted on.
        dead = {key for _, keys in self.kept for key in keys if not self.share(key)}
        return history_bytes(*self.kept) - len(dead) * limits.HISTORY_LOG_BYTES

    def share(self, key: str) -> list[Message]:
        """What is left of one key: its newest."""
        of_key = [sent for sent, keys in self.everything if key in keys]
        kept = [sent for sent, _ in self.kept]
        return [sent for sent in of_key[-self.key_max_messages :] if sent in kept]

    def since(self, keys: list[str], after: Position) -> list[Message]:
        shares = [self.share(key) for key in keys]
        return [
            sent
            for sent, _ in self.kept
            if sent.position > after and any(sent in share for share in shares)
        ]

    def lost(self, keys: list[str], after: Position) -> bool:
        """Tell whether `since` would leave out anything that any of the keys had."""
        return self.last_lost(keys) > after

    def last_lost(self, keys: list[str]) -> Position:
        """Return the newest id that any of the keys had and has no more."""
        return max(
            (
                sent.position
                for key in keys
                for sent, sent_keys in self.everything
                if key in sent_keys and sent not in self.share(key)
            ),
            default=START,
        )
