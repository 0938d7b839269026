"""server/journal.py: what is on disk when `write` returns, after crashes, and when it is full."""

import asyncio
import errno
import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import UnavailableError
from headrace.messages.entries import Change, Join, Leave, Revoke
from headrace.messages.position import Position
from headrace.server import journal as journal_module
from headrace.server.journal import Journal, decode_records, encode_record

MAGIC = b"headrace journal 1\n"
CHANGES: list[tuple[Change, Position]] = [
    (Join("ada", "lobby", 1.5), Position(1, 0)),
    (Leave("bob", "großer Raum", 2.5), Position(2, 7)),
    (Revoke("ada", 3.5), Position(2**64 - 1, 2**64 - 1)),
]


def content_of(changes: list[tuple[Change, Position]]) -> bytes:
    return MAGIC + b"".join([encode_record(*each) for each in changes])


def test_records_are_read_as_they_were_written() -> None:
    assert decode_records(content_of(CHANGES)) == CHANGES


@pytest.mark.parametrize("content", [b"", b"headrace", b"another file\n" + content_of(CHANGES)])
def test_a_file_that_is_no_journal_holds_no_changes(content: bytes) -> None:
    assert decode_records(content) == []


@given(st.integers(min_value=0))
def test_an_incomplete_record_at_the_end_is_ignored(cut: int) -> None:
    content = content_of(CHANGES)
    kept = decode_records(content[: cut % len(content)])
    assert kept == CHANGES[: len(kept)]


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_damaged_byte_ends_the_reading_before_its_record(place: int, change: int) -> None:
    content = bytearray(content_of(CHANGES))
    content[place % len(content)] ^= change
    kept = decode_records(bytes(content))
    assert kept == CHANGES[: len(kept)]
    assert len(kept) < len(CHANGES)


def test_a_payload_that_is_no_change_ends_the_reading() -> None:
    payload = b"\x01"
    record = len(payload).to_bytes(4, "big") + zlib.crc32(payload).to_bytes(4, "big") + payload
    assert (
        decode_records(content_of(CHANGES[:1]) + record + encode_record(*CHANGES[1]))
        == (CHANGES[:1])
    )


async def test_a_change_is_on_disk_when_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, lambda: ())
    assert journal.read() == []
    journal.open()
    for number, each in enumerate(CHANGES, start=1):
        await journal.write(*each)
        assert decode_records(path.read_bytes()) == CHANGES[:number]
    await journal.aclose()
    await journal.aclose()
    assert Journal(path, lambda: ()).read() == CHANGES
    assert path.stat().st_mode & 0o777 == 0o600


async def test_changes_that_arrive_together_share_a_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal", lambda: ())
    journal.open()
    syncs: list[int] = []
    sync = os.fsync

    def counting(descriptor: int) -> None:
        syncs.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counting)
    await asyncio.gather(*[journal.write(*CHANGES[0]) for _ in range(100)])
    assert len(syncs) <= 2
    assert journal.read() == CHANGES[:1] * 100
    await journal.aclose()


async def test_a_full_disk_is_reported_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal", lambda: ())
    journal.open()
    await journal.write(*CHANGES[0])

    def write(descriptor: int, data: memoryview) -> int:
        real_write(descriptor, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    real_write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(UnavailableError, match="No space left on device; try again"):
            await journal.write(*CHANGES[1])
    assert journal.read() == CHANGES[:1]
    await journal.write(*CHANGES[2])
    assert journal.read() == [CHANGES[0], CHANGES[2]]
    await journal.aclose()


async def test_a_closed_journal_stores_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", lambda: ())
    with pytest.raises(UnavailableError, match="the server is stopping"):
        await journal.write(*CHANGES[0])


async def test_a_caller_that_is_cancelled_does_not_stop_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", lambda: ())
    journal.open()
    cancelled = asyncio.ensure_future(journal.write(*CHANGES[0]))
    other = asyncio.ensure_future(journal.write(*CHANGES[1]))
    await asyncio.sleep(0)
    cancelled.cancel()
    await other
    assert CHANGES[1] in journal.read()
    await journal.aclose()


async def test_opening_replaces_the_file_by_the_current_state(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content_of(CHANGES * 100))
    journal = Journal(path, lambda: CHANGES[1:])
    journal.open()
    assert journal.read() == CHANGES[1:]
    assert os.listdir(tmp_path) == ["journal"]
    await journal.aclose()


async def test_a_file_that_has_grown_is_replaced_by_the_current_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "COMPACT_MIN_BYTES", 500)
    path = tmp_path / "journal"
    journal = Journal(path, lambda: CHANGES[:1])
    journal.open()
    sizes = []
    for _ in range(100):
        await journal.write(*CHANGES[0])
        sizes.append(path.stat().st_size)
    assert max(sizes) < 700
    await journal.aclose()
    assert set(journal.read()) == set(CHANGES[:1])


async def test_a_link_in_place_of_the_new_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "journal.new").symlink_to(target)
    with pytest.raises(OSError, match=r"[Ss]ymbolic|ELOOP|Too many levels"):
        Journal(tmp_path / "journal", lambda: ()).open()
    assert not target.exists()
