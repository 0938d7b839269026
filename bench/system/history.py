"""Measure the memory that the history uses, and compare it with what the history counts.

    .venv/bin/python bench/system/history.py [--sessions 10000]

The first table: a history of the default size after all its entries have been replaced once; what
it counts, what Python allocated for an entry, and the growth of the process. The second table:
10,000 idle sockets, without a history and with a full one. Each row runs in its own process. See
docs/history.md.
"""

import argparse
import asyncio
import gc
import itertools
import multiprocessing
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.system.load_client import BenchError, LoadClient
from bench.system.process_stats import raise_descriptor_limit, resident_bytes
from bench.system.servers import OPENING, SECRET, headrace_handshake

from headrace import Claims, Entry, Hub, Message, Position, Server, Settings
from headrace.hub.history import History
from headrace.hub.subscriptions import Subscriptions
from headrace.messages.message import Encodable, Encoding
from headrace.messages.position import START

MIB = 1024 * 1024
MAX_BYTES = Settings().history_max_bytes
TRACED_BYTES = 4 * MIB  # tracing every allocation is slow
RECIPIENTS = 1000
SPAWN = multiprocessing.get_context("spawn")

DATA_KINDS = {
    "ASCII": "x",
    "JSON": '{"n":1},',
    "Latin-1": "\xe9",
    "CJK": "\u597d",
    "emoji": "\U0001f600",
}
TARGETS: dict[str, Callable[[int], dict[str, object]]] = {
    "a channel each": lambda number: {"to": [f"client-{number:07}"]},
    "1,000 channels": lambda number: {"to": [f"client-{number % RECIPIENTS:07}"]},
    "lists of 100": lambda number: {"to": [f"client-{number:07}-{n:02}" for n in range(100)]},
    "a group": lambda _: {"group": "lobby"},
    "everyone": lambda _: {"everyone": True},
}
ROWS = [
    *[("a channel each", kind, size) for kind in DATA_KINDS for size in (16, 128, 1024, 32768)],
    *[(target, "ASCII", 128) for target in TARGETS if target != "a channel each"],
]


class _SendBody(msgspec.Struct):
    """The parts of a send request that stay in memory.

    Decoding makes new strings for each send, as the server does for each request.
    """

    data: str
    to: tuple[str, ...] = ()
    group: str | None = None
    everyone: bool = False


_encode_into = msgspec.json.Encoder().encode_into
_decode = msgspec.json.Decoder(_SendBody).decode
_buffer = bytearray()


class EntrySource:
    """Makes entries with `size_bytes` of UTF-8, and appends them to a history as the hub does."""

    def __init__(self, target: str, kind: str, size_bytes: int) -> None:
        self._target = TARGETS[target]
        self._data = DATA_KINDS[kind] * (size_bytes // len(DATA_KINDS[kind].encode()))
        self._subscriptions = Subscriptions()
        self._numbers = itertools.count()
        self._sequence = itertools.count()

    def __iter__(self) -> Iterator[Entry]:
        for number in self._numbers:
            _encode_into({"data": self._data, **self._target(number)}, _buffer)
            body = bytes(_buffer)  # one allocation, like the body of a received request
            sent = _decode(body)
            yield Entry(data=sent.data, to=sent.to, group=sent.group, everyone=sent.everyone)

    def fill(self, history: History, count: int) -> None:
        """Append `count` entries, and encode each once."""
        for entry in itertools.islice(self, count):
            position = Position(int(time.time() * 1000), next(self._sequence))
            message = Message(position, entry.data, entry.group)
            history.append(message, self._subscriptions.recipients(entry)[1])
            message.encode(Encoding.V1)


class EntryCost(NamedTuple):
    """A row of the first table."""

    entries: int
    allocated_bytes: float  # per entry
    counted_bytes: float  # per entry
    total_counted_bytes: int
    total_resident_bytes: int


def measure_entries(target: str, kind: str, size_bytes: int) -> EntryCost:
    source = EntrySource(target, kind, size_bytes)
    before = _own_resident_bytes()
    history = History(START, max_bytes=MAX_BYTES, max_age_s=3600)
    entries = -1
    while len(history) > entries:  # not full yet
        entries = len(history)
        source.fill(history, 500)
    source.fill(history, entries)
    resident = _own_resident_bytes() - before
    counted = history.size_bytes + history.floors_bytes

    traced = History(START, max_bytes=1 << 40, max_age_s=3600)
    count = min(5000, max(50, TRACED_BYTES * len(history) // MAX_BYTES))
    gc.collect()
    tracemalloc.start()
    source.fill(traced, count)
    gc.collect()
    allocated, _ = tracemalloc.get_traced_memory()
    return EntryCost(len(history), allocated / count, traced.size_bytes / count, counted, resident)


class IdleCost(NamedTuple):
    """A row of the second table, in bytes."""

    sessions: int
    grown: int
    counted: int


class _DiscardingSink:
    """A sink that has each message encoded and discards it."""

    def deliver(self, what: Encodable, _: float) -> None:
        what.encode(Encoding.V1)

    def close(self, code: int, reason: str) -> None:
        pass  # the server stops


def measure_idle(sessions: int, max_bytes: int, size_bytes: int) -> IdleCost:
    raise_descriptor_limit(sessions)
    ours, theirs = multiprocessing.Pipe()
    clients = multiprocessing.get_context("fork").Process(
        target=_client_process, args=(theirs, sessions)
    )
    clients.start()
    try:
        return uvloop.run(_measure_idle(ours, sessions, max_bytes, size_bytes))
    finally:
        ours.send(None)
        clients.join()


async def _measure_idle(
    clients: Connection, sessions: int, max_bytes: int, size_bytes: int
) -> IdleCost:
    """Connect idle sockets, then send to others until every entry of the history was replaced."""
    settings = Settings(
        port=0,
        secrets=(SECRET,),
        history_max_bytes=max_bytes,
        history_max_age_s=3600,
        drain_s=0,
    )
    hub = Hub(settings)
    history = hub.core.history
    async with hub, Server(hub) as server:
        for number in range(RECIPIENTS):
            claims = Claims(f"client-{number:07}", time.time() + 7200)
            hub.core.attach(claims, _DiscardingSink())
        source = EntrySource("1,000 channels", "ASCII", size_bytes)
        await _send(hub, source, 200)  # allocations of the first sends
        before = _own_resident_bytes()
        clients.send(server.port)
        await asyncio.to_thread(clients.recv)
        connected, counted_before = _own_resident_bytes(), history.size_bytes
        await _send(hub, source, 2 * (max_bytes or MAX_BYTES) // (2 * size_bytes + 500))
        grown = _own_resident_bytes() - connected
        remaining = len(hub.core.sessions)
        if remaining != sessions + RECIPIENTS:
            raise BenchError(f"only {remaining} of {sessions + RECIPIENTS} sessions remain")
        counted = history.size_bytes + history.floors_bytes - counted_before
    return IdleCost(connected - before, grown, counted)


async def _send(hub: Hub, source: EntrySource, count: int) -> None:
    for number, entry in enumerate(itertools.islice(source, count)):
        await hub.send(entry.data, to=entry.to)
        if number % 100 == 0:
            await asyncio.sleep(0)  # let the loop flush


def _client_process(pipe: Connection, sessions: int) -> None:
    requests = [headrace_handshake(f"idle-{number}") for number in range(sessions)]
    clients = LoadClient()
    clients.connect(pipe.recv(), requests, OPENING)
    pipe.send("connected")
    pipe.recv()
    clients.close()


def _own_resident_bytes() -> int:
    gc.collect()
    return resident_bytes(os.getpid())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=10_000, help="idle sessions of table two")
    sessions: int = parser.parse_args().sessions
    print(f"python {sys.version.split()[0]}, history_max_bytes {MAX_BYTES / MIB:.0f} MiB\n")
    try:
        _print_entry_table()
        _print_idle_table(sessions)
    except BenchError as error:
        sys.exit(f"history: {error}")


def _print_entry_table() -> None:
    print(f"{'':31}{'bytes per entry':^26} {'MiB, when full':^30}")
    print(
        "target          data      bytes  allocated  counted  ratio entries  counted  grown  ratio"
    )
    with ProcessPoolExecutor(1, SPAWN, max_tasks_per_child=1) as pool:
        for target, kind, size in ROWS:
            row = pool.submit(measure_entries, target, kind, size).result()
            print(
                f"{target:15} {kind:8} {size:6} {row.allocated_bytes:10.0f}"
                f" {row.counted_bytes:8.0f} {row.counted_bytes / row.allocated_bytes:6.2f}"
                f" {row.entries:7} {row.total_counted_bytes / MIB:8.1f}"
                f" {row.total_resident_bytes / MIB:6.1f}"
                f" {row.total_counted_bytes / row.total_resident_bytes:6.2f}",
                flush=True,
            )


def _print_idle_table(sessions: int) -> None:
    print(f"\n{sessions:,} idle sessions; messages to {RECIPIENTS:,} others, each encoded once\n")
    print("history  messages  KiB/session  growth while sending, MiB  counted, MiB  ratio")
    with ProcessPoolExecutor(1, SPAWN, max_tasks_per_child=1) as pool:
        for max_bytes, size in ((0, 128), *((MAX_BYTES, size) for size in (16, 128, 1024, 32768))):
            row = pool.submit(measure_idle, sessions, max_bytes, size).result()
            ratio = f"{row.counted / row.grown:6.2f}" if max_bytes else ""
            print(
                f"{'full' if max_bytes else 'none':7} {size:7} B"
                f" {row.sessions / 1024 / sessions:12.2f} {row.grown / MIB:26.1f}"
                f" {row.counted / MIB:13.1f} {ratio}",
                flush=True,
            )


if __name__ == "__main__":
    main()
