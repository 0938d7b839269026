"""The state file: `StateDirectory.load`, and restoring what it returns.

An input is used as the whole file, and as the content of a file whose checksum is right.
"""

import hashlib
import logging
import os
import tempfile
from functools import lru_cache
from pathlib import Path

import msgspec
from hypothesis import strategies as st
from tests.hardening.fuzz.target import Target
from tests.helpers.fakes import HubBench

from headrace.api.hub import Hub
from headrace.hub.snapshot import Snapshot, restore_snapshot, take_snapshot
from headrace.messages.entries import Change
from headrace.messages.position import Position, parse_position
from headrace.server import state_directory
from headrace.server.state_directory import StateDirectory
from headrace.settings import Settings

RETURN_S = 30.0
SETTINGS = Settings(secrets=("a secret of the fuzz tests, 32 B+",))


@lru_cache(maxsize=1)
def _directory() -> tuple["tempfile.TemporaryDirectory[str]", StateDirectory]:
    """Return one directory for all inputs; it is removed at the end of the process."""
    shared = Path("/dev/shm")
    parent = shared if os.access(shared, os.W_OK) else None
    directory = tempfile.TemporaryDirectory(prefix="headrace-fuzz-", dir=parent)
    return directory, StateDirectory(directory.name)


def load(content: bytes) -> Snapshot | None:
    directory, state = _directory()
    (Path(directory.name) / "history").write_bytes(content)
    logging.disable(logging.ERROR)
    try:
        return state.load()
    finally:
        logging.disable(logging.NOTSET)


def sealed(body: bytes) -> bytes:
    """Return a file with this content and its checksum."""
    return state_directory._MAGIC + hashlib.sha256(body).digest() + body


def check(data: bytes) -> None:
    for content in (data, sealed(data)):
        snapshot = load(content)
        if snapshot is not None:
            check_restore(snapshot)


def reserve(until_ms: int) -> None:
    """Reserve nothing: no process follows."""


async def record(change: Change, position: Position) -> None:
    """Record nothing: no process follows."""


def check_restore(snapshot: Snapshot) -> None:
    """Check that the state can be restored, saved and used."""
    Hub(SETTINGS).restore(snapshot, (), reserve=reserve, record=record, return_s=RETURN_S)
    bench = HubBench()
    restore_snapshot(bench.core, snapshot, return_s=RETURN_S)
    bench.backplane.restore((), reserve, record)
    assert bench.core.history.latest == parse_position(snapshot.latest)
    again = take_snapshot(bench.core)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(again), type=Snapshot) is not None
    clients = {point.client_id for point in snapshot.resume_points} | {*snapshot.online, "alice"}
    for client_id in sorted(clients)[:5]:
        _, sink = bench.attach(client_id, groups=("lobby",))
        bench.tick()
        assert sink.opened["type"] == "open"
    bench.send("alice", data="after the restart")
    bench.tick()
    bench.clock.advance(RETURN_S + 10)
    bench.core.expire()


# --- inputs --------------------------------------------------------------------------------------

IDS = st.sampled_from(
    ["0-0", "1-0", "1-1", "2-0", "1732412345000-0", "18446744073709551615-0", "1", "x", "9-9"]
)
VALID_IDS = st.builds("{}-{}".format, st.integers(0, 5), st.integers(0, 3))
ANY_IDS = st.one_of(VALID_IDS, VALID_IDS, VALID_IDS, IDS)
NAMES = st.sampled_from(["alice", "bob", "", "@alice", "#lobby", "\u00e9", "x" * 300])
TIMES = st.floats() | st.integers(-1, 2**33)
KEYS = st.lists(st.sampled_from(["@alice", "#lobby", "*", "@bob", ""]), max_size=3)
DATA = st.text(max_size=20) | st.just("x" * 3000)
STATES = st.fixed_dictionaries(
    {
        "floor": ANY_IDS,
        "latest": ANY_IDS,
        "floors": st.dictionaries(NAMES, ANY_IDS, max_size=3),
        "entries": st.lists(
            st.tuples(ANY_IDS, DATA, st.none() | st.just("lobby"), KEYS), max_size=5
        ),
        "words": st.lists(st.tuples(NAMES, NAMES, st.booleans(), TIMES), max_size=3),
        "revocations": st.dictionaries(NAMES, TIMES, max_size=3),
        "present": st.dictionaries(NAMES, TIMES, max_size=3),
        "left": st.lists(st.tuples(NAMES, ANY_IDS, ANY_IDS, ANY_IDS), max_size=3),
    },
    optional={
        "key_floors": st.dictionaries(NAMES, ANY_IDS, max_size=3),
        "revocation_ids": st.dictionaries(NAMES, ANY_IDS, max_size=3),
        "sends": st.lists(
            st.tuples(NAMES, TIMES, ANY_IDS, st.integers(-1, 9), st.binary(max_size=3)), max_size=3
        ),
    },
)

TARGET = Target(
    "snapshot",
    check,
    STATES.map(msgspec.msgpack.encode),
    (
        state_directory._MAGIC,
        *(msgspec.msgpack.encode(text) for text in ("1-0", "@alice", "#lobby", "entries", "left")),
        *(
            b"\x90",
            b"\x80",
            b"\xc0",
            b"\xcb\x7f\xf8\0\0\0\0\0\0",
            b"\x91" * 40,
            b"\xdd\xff\xff\xff\xff",
        ),
    ),
)
