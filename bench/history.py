"""What the history costs in memory, and whether it counts that right.

    .venv/bin/python bench/history.py [--sessions 10000]

First, a history of the default size that has turned over: what it counts, what Python allocated
for an entry, and what the process grew by. Then, 10,000 sockets that say nothing, without a history
and with a full one. Each row is a process of its own. See docs/history.md.
"""

import argparse
import asyncio
import gc
import itertools
import multiprocessing
import os
import resource
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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.loadclient import BenchError, Fleet
from bench.servers import SECRET, handshake

from headrace.entries import Entry
from headrace.history import History
from headrace.message import Encodable, Form, Message
from headrace.position import PositionCounter
from headrace.roster import Roster
from headrace.server import Server
from headrace.settings import Settings
from headrace.tokens import Claims

MIB = 1024 * 1024
MAX_BYTES = Settings().history_max_bytes
TRACED_BYTES = 4 * MIB  # tracing every allocation is slow
READERS = 1000
SPAWN = multiprocessing.get_context("spawn")

KINDS = {
    "ASCII": "x",
    "JSON": '{"n":1},',
    "Latin-1": "\xe9",
    "CJK": "\u597d",
    "emoji": "\U0001f600",
}
TARGETS: dict[str, Callable[[int], dict[str, object]]] = {
    "a channel each": lambda number: {"to": [f"client-{number:07}"]},
    "1,000 channels": lambda number: {"to": [f"client-{number % READERS:07}"]},
    "lists of 100": lambda number: {"to": [f"client-{number:07}-{n:02}" for n in range(100)]},
    "a group": lambda _: {"group": "lobby"},
    "everyone": lambda _: {"everyone": True},
}
ROWS = [
    *[("a channel each", kind, size) for kind in KINDS for size in (16, 128, 1024, 32768)],
    *[(target, "ASCII", 128) for target in TARGETS if target != "a channel each"],
]


class _Body(msgspec.Struct):
    """What of a send stays: its strings are new ones for each, as a request's are."""

    data: str
    to: tuple[str, ...] = ()
    group: str | None = None
    everyone: bool = False


_encode_into = msgspec.json.Encoder().encode_into
_decode = msgspec.json.Decoder(_Body).decode
_scratch = bytearray()


class Sends:
    """Makes sends of `size_bytes` of UTF-8 and puts them into a history as the hub does."""

    def __init__(self, target: str, kind: str, size_bytes: int) -> None:
        self._target = TARGETS[target]
        self._data = KINDS[kind] * (size_bytes // len(KINDS[kind].encode()))
        self._positions = PositionCounter()
        self._roster = Roster()
        self._numbers = itertools.count()

    def __iter__(self) -> Iterator[Entry]:
        for number in self._numbers:
            _encode_into({"data": self._data, **self._target(number)}, _scratch)
            body = bytes(_scratch)  # one piece of memory, as where it came in a request
            sent = _decode(body)
            yield Entry(data=sent.data, to=sent.to, group=sent.group, everyone=sent.everyone)

    def fill(self, history: History, count: int) -> None:
        """Append so many, each encoded in one form."""
        for entry in itertools.islice(self, count):
            position = self._positions.next(int(time.time() * 1000))
            message = Message(position, entry.data, entry.group)
            history.append(message, self._roster.audience(entry)[1])
            message.encoded(Form.V1)


class Cost(NamedTuple):
    """A row of the first table."""

    held: int
    allocated_bytes: float  # for an entry
    counted_bytes: float  # for an entry
    counted: int
    resident: int


def cost(target: str, kind: str, size_bytes: int) -> Cost:
    sends = Sends(target, kind, size_bytes)
    before = resident_bytes()
    history = History(PositionCounter().latest, max_bytes=MAX_BYTES, max_age_s=3600)
    held = -1
    while len(history) > held:  # not full yet
        held = len(history)
        sends.fill(history, 500)
    sends.fill(history, held)
    resident = resident_bytes() - before
    counted = history.size_bytes + history.floors_bytes

    traced = History(PositionCounter().latest, max_bytes=1 << 40, max_age_s=3600)
    count = min(5000, max(50, TRACED_BYTES * len(history) // MAX_BYTES))
    gc.collect()
    tracemalloc.start()
    sends.fill(traced, count)
    gc.collect()
    allocated, _ = tracemalloc.get_traced_memory()
    return Cost(len(history), allocated / count, traced.size_bytes / count, counted, resident)


class Idle(NamedTuple):
    """A row of the second table, in bytes."""

    sessions: int
    grown: int
    counted: int


class _Reader:
    """A client in memory: has each message encoded, and keeps nothing."""

    def deliver(self, what: Encodable, _: float) -> None:
        what.encoded(Form.V1)

    def close(self, code: int, reason: str) -> None:
        pass  # the server ends


def idle(sessions: int, max_bytes: int, size_bytes: int) -> Idle:
    raise_descriptor_limit(sessions)
    ours, theirs = multiprocessing.Pipe()
    crowd = multiprocessing.get_context("fork").Process(target=_crowd, args=(theirs, sessions))
    crowd.start()
    try:
        return uvloop.run(_idle(ours, sessions, max_bytes, size_bytes))
    finally:
        ours.send(None)
        crowd.join()


async def _idle(crowd: Connection, sessions: int, max_bytes: int, size_bytes: int) -> Idle:
    """Connect sockets that say nothing, then send to others until the history has turned over."""
    settings = Settings(
        port=0,
        secrets=(SECRET,),
        history_max_bytes=max_bytes,
        history_max_age_s=3600,
        drain_s=0,
    )
    server = Server(settings)
    await server.start()
    for number in range(READERS):
        claims = Claims(f"client-{number:07}", time.time() + 7200)
        server.hub.attach(claims, _Reader())
    sends = Sends("1,000 channels", "ASCII", size_bytes)
    await _publish(server, sends, 200)  # what the first ones need once
    before = resident_bytes()
    crowd.send(server.port)
    await asyncio.to_thread(crowd.recv)
    connected, counted_before = resident_bytes(), server.hub.history.size_bytes
    await _publish(server, sends, 2 * (max_bytes or MAX_BYTES) // (2 * size_bytes + 500))
    grown = resident_bytes() - connected
    history = server.hub.history
    if len(server.hub.sessions) != sessions + READERS:
        raise BenchError(f"{len(server.hub.sessions)} of {sessions + READERS} sessions are left")
    counted = history.size_bytes + history.floors_bytes - counted_before
    await server.stop()
    return Idle(connected - before, grown, counted)


async def _publish(server: Server, sends: Sends, count: int) -> None:
    for number, entry in enumerate(itertools.islice(sends, count)):
        await server.hub.publish(entry)
        if number % 100 == 0:
            await asyncio.sleep(0)  # the loop flushes


def _crowd(pipe: Connection, sessions: int) -> None:
    requests = [handshake(f"idle-{number}") for number in range(sessions)]
    fleet = Fleet()
    fleet.connect(pipe.recv(), requests, b'"type":"open"')
    pipe.send("connected")
    pipe.recv()
    fleet.close()


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def raise_descriptor_limit(sessions: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < sessions + 500:
        sys.exit(f"history: {sessions} sessions need {sessions + 500} descriptors; `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    sessions: int = parser.parse_args().sessions
    print(f"python {sys.version.split()[0]}, history_max_bytes {MAX_BYTES / MIB:.0f} MiB\n")
    print(f"{'':31}{'bytes an entry':^26} {'MiB, when full':^30}")
    print(
        "target          data      bytes  allocated  counted  ratio    held  counted  grown  ratio"
    )
    with ProcessPoolExecutor(1, SPAWN, max_tasks_per_child=1) as pool:
        for target, kind, size in ROWS:
            row = pool.submit(cost, target, kind, size).result()
            print(
                f"{target:15} {kind:8} {size:6} {row.allocated_bytes:10.0f}"
                f" {row.counted_bytes:8.0f} {row.counted_bytes / row.allocated_bytes:6.2f}"
                f" {row.held:7} {row.counted / MIB:8.1f} {row.resident / MIB:6.1f}"
                f" {row.counted / row.resident:6.2f}",
                flush=True,
            )
    print(f"\n{sessions:,} idle sessions; messages to {READERS:,} others, each encoded once\n")
    print("history  messages  KiB a session  grown by sending, MiB  counted, MiB  ratio")
    with ProcessPoolExecutor(1, SPAWN, max_tasks_per_child=1) as pool:
        for max_bytes, size in ((0, 128), *((MAX_BYTES, size) for size in (16, 128, 1024, 32768))):
            each = pool.submit(idle, sessions, max_bytes, size).result()
            ratio = f"{each.counted / each.grown:6.2f}" if max_bytes else ""
            print(
                f"{'full' if max_bytes else 'none':7} {size:7} B"
                f" {each.sessions / 1024 / sessions:14.2f} {each.grown / MIB:22.1f}"
                f" {each.counted / MIB:13.1f} {ratio}",
                flush=True,
            )


if __name__ == "__main__":
    main()
