"""The journal of changes in `state_dir`: `decode_records`, and restoring what it returns.

An input is used as the whole file, as what follows the magic line, and as the payload of one record
whose length and checksum are right.
"""

import zlib

import msgspec
from hypothesis import strategies as st
from tests.hardening.fuzz.target import Target, input_random
from tests.hardening.fuzz.targets.snapshot import RETURN_S, SETTINGS, record, reserve

from headrace.api.hub import Hub
from headrace.messages.entries import Change, Join, Leave, Revoke
from headrace.messages.position import Position
from headrace.server import journal
from headrace.server.journal import decode_records, encode_record

MAGIC = journal._MAGIC


def framed(payload: bytes) -> bytes:
    """Return one record with this payload."""
    head = len(payload).to_bytes(4, "big") + zlib.crc32(payload).to_bytes(4, "big")
    return head + payload


def check(data: bytes) -> None:
    for content in (data, MAGIC + data, MAGIC + framed(data)):
        changes = decode_records(content)
        records = encoded(changes)
        assert encoded(decode_records(MAGIC + b"".join(records))) == records
        cut = input_random(data).randint(0, len(content))
        before = encoded(decode_records(content[:cut]))
        assert before == records[: len(before)]
        if changes:
            hub = Hub(SETTINGS)
            hub.restore(None, changes, reserve=reserve, record=record, return_s=RETURN_S)
            hub.snapshot()


def encoded(changes: list[tuple[Change, Position]]) -> list[bytes]:
    """Return comparable records: NaN is not equal to itself."""
    return [encode_record(*each) for each in changes]


# --- inputs --------------------------------------------------------------------------------------

TIMES = st.floats(0, 2**33) | st.floats()
NAMES = st.sampled_from(["alice", "bob", "", "\u00e9", "x" * 300])
CHANGES = st.one_of(
    st.builds(Join, NAMES, NAMES, TIMES),
    st.builds(Leave, NAMES, NAMES, TIMES),
    st.builds(Revoke, NAMES, TIMES),
)
POSITIONS = st.builds(Position, st.integers(0, 9) | st.integers(-1, 2**63), st.integers(-1, 5))
RECORDS = st.builds(encode_record, CHANGES, POSITIONS)

TARGET = Target(
    "journal",
    check,
    st.lists(RECORDS | st.binary(max_size=12), max_size=5).map(b"".join),
    (
        MAGIC,
        encode_record(Join("alice", "lobby", 1.0), Position(1, 0)),
        encode_record(Revoke("alice", 1.0), Position(2, 0)),
        *(msgspec.msgpack.encode(text) for text in ("join", "leave", "revoke", "type")),
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    ),
)
