"""Fakes for the layers below the socket: clocks, an event loop's ticks, a client, a history."""

import gc
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

import msgspec

from headrace.auth.tokens import Claims
from headrace.backplane.local import LocalBackplane
from headrace.hub import history as history_module
from headrace.hub.core import Clocks, HubCore
from headrace.hub.presence import PresenceChange
from headrace.hub.session import Session
from headrace.messages.entries import AnyEntry, Entry, Receipt
from headrace.messages.message import ControlMessage, Encodable, Encoding, Message, MessageBatch
from headrace.messages.position import START, Position
from headrace.settings import Settings

UNIX_S = 1_732_412_345.0
Returned = TypeVar("Returned")


def run_now(coroutine: Coroutine[Any, Any, Returned]) -> Returned:
    """Return the result of a coroutine that must not wait."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        value: Returned = finished.value
        return value
    coroutine.close()
    raise AssertionError("the coroutine waited")


def python_calls(function: Callable[[], object]) -> int:
    """Return how many Python functions run below `function`; calls of C functions do not count."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    gc.disable()  # a collection would call the callbacks of other libraries
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls - 1  # `function` itself


class ManualClock:
    """A monotonic and a Unix clock that only `advance` moves."""

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
    """A sink that records what it gets; `on_deliver` and `on_close` run inside its methods."""

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
        return [fields_of(what) for what in self.delivered if isinstance(what, ControlMessage)]

    @property
    def opened(self) -> dict[str, Any]:
        """The latest `open` control message."""
        return [notice for notice in self.notices if notice["type"] == "open"][-1]

    @property
    def close_codes(self) -> list[int]:
        return [code for code, _ in self.closes]


def messages_of(what: Encodable) -> tuple[Message, ...]:
    """Return the messages in something that was delivered."""
    if isinstance(what, MessageBatch):
        return what.messages
    return (what,) if isinstance(what, Message) else ()


def fields_of(control: ControlMessage) -> dict[str, Any]:
    """Return the JSON of a control message, as a client reads it."""
    fields: dict[str, Any] = msgspec.json.decode(control.encode(Encoding.POLL))
    return fields


class HubBench:
    """A hub's core and a local backplane with manual time; a tick ends when `tick()` is called."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.scheduled: list[Callable[[], None]] = []
        self.presence_changes: list[PresenceChange] = []
        self.core = HubCore(
            Settings(**settings),
            self.clock.clocks,
            self.scheduled.append,
            self.presence_changes.append,
        )
        self.backplane = LocalBackplane(self.core)

    def tick(self) -> None:
        """End the event loop's tick: run what was scheduled before."""
        callbacks, self.scheduled[:] = self.scheduled[:], []
        for callback in callbacks:
            callback()

    def send(self, *to: str, data: str) -> Receipt:
        return self.append(Entry(data=data, to=to))

    def append(self, entry: AnyEntry) -> Receipt:
        return run_now(self.backplane.append(entry))

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
        return self.core.attach(claims, sink, last_id), sink


def claims_of(
    client_id: str, *, groups: tuple[str, ...] = (), pos: Position | None = None
) -> Claims:
    exp = UNIX_S + 7200
    return Claims(client_id, exp, groups=groups, pos=None if pos is None else str(pos))


def history_bytes(*entries: tuple[Message, tuple[str, ...]], floors: int = 0) -> int:
    """Return the size that a history counts for these entries and this number of floors."""
    logs = {key for _, keys in entries for key in keys}
    return (
        sum(entry_bytes(sent, keys) for sent, keys in entries)
        + len(logs) * history_module.LOG_BYTES
        + floors * history_module.FLOOR_BYTES
    )


def entry_bytes(sent: Message, keys: tuple[str, ...]) -> int:
    """Return what one entry counts; exact for data of up to 1,024 characters or without escapes."""
    held = len(msgspec.json.encode(sent.data)) + sys.getsizeof(sent.data)
    names = [*keys] if sent.group is None else [*keys, sent.group]
    return (
        held
        + held // history_module.ALLOCATOR_SHARE
        + history_module.ENTRY_BYTES
        + sum(history_module.KEY_BYTES + len(name) for name in names)
    )


class NaiveHistory:
    """A model of the history that keeps everything, and knows what a history may still have."""

    def __init__(
        self, start: Position, max_bytes: int, max_age_s: float, key_max_messages: int
    ) -> None:
        self.everything: list[tuple[Message, tuple[str, ...]]] = []
        self.holders: list[set[str]] = []  # of each entry: the keys that have not dropped it
        self.last_evicted: dict[str, Position] = {}  # by key, in order
        self.start = self.latest = start
        self.max_bytes, self.max_age_s = max_bytes, max_age_s
        self.key_max_messages = key_max_messages
        self.arrivals: list[tuple[Position, float]] = []

    def append(self, sent: Message, keys: tuple[str, ...]) -> None:
        self.everything.append((sent, keys))
        self.holders.append(set())
        self.latest = sent.position
        for key in keys:
            self.holders[-1].add(key)
            if len(self.kept_of(key)) > self.key_max_messages:
                self.drop(key)
        while self.size_bytes + self.floors_bytes > self.max_bytes:
            share_bytes = self.max_bytes // history_module.KEY_SHARE
            sizes = {key: self.key_bytes(key) for held in self.holders for key in held}
            large = [
                (size_bytes, key)
                for key, size_bytes in sizes.items()
                if size_bytes > share_bytes and len(self.kept_of(key)) > 1
            ]
            if large:
                self.drop(max(large)[1])
            else:
                self.evict()

    def expire(self, now_ms: int, now: float) -> None:
        last = self.arrivals[-1] if self.arrivals else (START, -1e9)
        interval_s = self.max_age_s / history_module.ARRIVALS_MAX_COUNT
        if last[0] < self.latest and now - last[1] >= interval_s:
            self.arrivals.append((self.latest, now))
        old = [position for position, at in self.arrivals if now - at > self.max_age_s]
        del self.arrivals[: len(old)]
        while (kept := self.kept) and (
            now_ms - kept[0][0].position.ms > self.max_age_s * 1000
            or any(kept[0][0].position <= position for position in old)
        ):
            self.evict()

    def drop(self, key: str) -> None:
        """Remove the oldest entry of one key."""
        next(held for held in self.holders if key in held).remove(key)

    def evict(self) -> None:
        """Remove the oldest entry of all."""
        index = next(index for index, held in enumerate(self.holders) if held)
        self.holders[index].clear()
        sent, keys = self.everything[index]
        for key in keys:
            self.last_evicted.pop(key, None)
            self.last_evicted[key] = sent.position

    @property
    def floor(self) -> Position:
        """The newest floor that was dropped because there are too many."""
        dropped = list(self.last_evicted.values())
        if self.max_floors:
            del dropped[-self.max_floors :]
        return dropped[-1] if dropped else self.start

    @property
    def floors_bytes(self) -> int:
        return history_module.FLOOR_BYTES * min(len(self.last_evicted), self.max_floors)

    @property
    def max_floors(self) -> int:
        share_bytes = self.max_bytes // history_module.FLOORS_SHARE
        return min(history_module.FLOORS_MAX_KEYS, share_bytes // history_module.FLOOR_BYTES)

    def floor_of(self, keys: list[str]) -> Position:
        """Return the id after which everything of `keys` is certain to be kept."""
        return max(self.floor, self.last_lost(keys))

    @property
    def kept(self) -> list[tuple[Message, tuple[str, ...]]]:
        return [entry for entry, held in zip(self.everything, self.holders, strict=True) if held]

    @property
    def size_bytes(self) -> int:
        entries = sum(entry_bytes(sent, keys) for sent, keys in self.kept)
        return entries + history_module.LOG_BYTES * len(set().union(*self.holders))

    def key_bytes(self, key: str) -> int:
        """Return the bytes of one key: its entries' bytes, which their keys share equally."""
        return sum(
            entry_bytes(sent, keys) // len(keys)
            for (sent, keys), held in zip(self.everything, self.holders, strict=True)
            if key in held
        )

    def kept_of(self, key: str) -> list[Message]:
        """Return the messages of one key that are kept: its newest."""
        entries = zip(self.everything, self.holders, strict=True)
        return [sent for (sent, _), held in entries if key in held]

    def messages_after(self, keys: list[str], after: Position) -> list[Message]:
        entries = zip(self.everything, self.holders, strict=True)
        return [sent for (sent, _), held in entries if sent.position > after and held & set(keys)]

    def lost(self, keys: list[str], after: Position) -> bool:
        """Return True if `messages_after` would be incomplete."""
        return self.last_lost(keys) > after

    def last_lost(self, keys: list[str]) -> Position:
        """Return the newest id that was lost under any of the keys."""
        entries = zip(self.everything, self.holders, strict=True)
        lost = [s.position for (s, ks), held in entries if set(keys) & (set(ks) - held)]
        return max(lost, default=START)
