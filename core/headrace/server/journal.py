"""A durable record of joins, leaves and revocations, so that a crash does not undo them.

The file is a sequence of records after one magic line:

    length   4 bytes, big-endian: the size of the payload
    crc      4 bytes, big-endian: CRC-32 of the payload
    payload  a Join, Leave or Revoke and its position, as msgpack

`write` returns when its record is on disk (fsync). Records that arrive while one batch is being
written form the next batch, so that many changes share one fsync. A crash can leave an incomplete
record at the end, which reading ignores. When the file has grown to several times the size of the
current state it is replaced by one that holds only that state, under another name and a rename.
"""

import asyncio
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from headrace.errors import UnavailableError
from headrace.messages.entries import Change
from headrace.messages.position import Position

_MAGIC: Final = b"headrace journal 1\n"
_HEADER_BYTES: Final = 8

COMPACT_MIN_BYTES: Final = 1024 * 1024
"""A smaller file is never replaced."""

COMPACT_FACTOR: Final = 4
"""A file is replaced when it has grown to so many times its size after the last replacement."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Change, int, int]).decode


def encode_record(change: Change, position: Position) -> bytes:
    """Return one record."""
    payload = _encode((change, *position))
    return len(payload).to_bytes(4, "big") + zlib.crc32(payload).to_bytes(4, "big") + payload


def decode_records(content: bytes) -> list[tuple[Change, Position]]:
    """Return the changes in a journal's content, up to the first incomplete or damaged record."""
    changes: list[tuple[Change, Position]] = []
    if not content.startswith(_MAGIC):
        return changes
    position = len(_MAGIC)
    while len(content) - position >= _HEADER_BYTES:
        size = int.from_bytes(content[position : position + 4], "big")
        crc = int.from_bytes(content[position + 4 : position + 8], "big")
        payload = content[position + _HEADER_BYTES : position + _HEADER_BYTES + size]
        if len(payload) < size or zlib.crc32(payload) != crc:
            break
        try:
            change, ms, seq = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            break
        changes.append((change, Position(ms, seq)))
        position += _HEADER_BYTES + size
    return changes


class Journal:
    """The journal of one process. `state` returns the changes that make up the current state."""

    def __init__(self, path: Path, state: Callable[[], Iterable[tuple[Change, Position]]]) -> None:
        self._path = path
        self._state = state
        self._descriptor: int | None = None
        self._size_bytes = 0
        self._compact_at_bytes = COMPACT_MIN_BYTES
        self._batch: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    def read(self) -> list[tuple[Change, Position]]:
        """Return the changes that an earlier process recorded; raise OSError if it cannot."""
        try:
            return decode_records(self._path.read_bytes())
        except FileNotFoundError:
            return []

    def open(self) -> None:
        """Start a new file with the current state; raise OSError if it cannot be written."""
        self._replace(self._encode_state())

    async def write(self, change: Change, position: Position) -> None:
        """Record a change durably; raise UnavailableError if it cannot be stored."""
        if self._descriptor is None:
            raise UnavailableError("the change was not stored: the server is stopping")
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._batch.append((encode_record(change, position), written))
        if self._writer is None:
            self._writer = loop.create_task(self._write_batches())
        await written

    async def aclose(self) -> None:
        """Write what is queued, and close the file. A second call does nothing."""
        if self._writer is not None:
            await self._writer
        self.close()

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    async def _write_batches(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._batch:
                batch, self._batch = self._batch, []
                content = b"".join([record for record, _ in batch])
                error: OSError | None = None
                try:
                    await loop.run_in_executor(None, self._append, content)
                except OSError as caught:
                    error = caught
                for _, written in batch:
                    if written.done():  # its caller was cancelled
                        continue
                    if error is None:
                        written.set_result(None)
                    else:
                        reason = error.strerror or str(error)
                        text = f"the change was not stored in state_dir: {reason}; try again"
                        written.set_exception(UnavailableError(text))
                if self._size_bytes > self._compact_at_bytes:
                    state = self._encode_state()
                    await loop.run_in_executor(None, self._try_replace, state)
        finally:
            self._writer = None

    def _append(self, content: bytes) -> None:
        """Append and sync; on an error the file keeps its earlier size."""
        descriptor = self._descriptor
        if descriptor is None:
            raise OSError("the journal is closed")
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, self._size_bytes)
            raise
        self._size_bytes += len(content)

    def _encode_state(self) -> bytes:
        return _MAGIC + b"".join([encode_record(*each) for each in self._state()])

    def _try_replace(self, content: bytes) -> None:
        try:
            self._replace(content)
        except OSError:  # the present file is complete; try again when it has doubled
            self._compact_at_bytes = 2 * self._size_bytes

    def _replace(self, content: bytes) -> None:
        temporary = self._path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
            os.replace(temporary, self._path)
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        self.close()
        self._descriptor = descriptor
        self._size_bytes = len(content)
        self._compact_at_bytes = max(COMPACT_MIN_BYTES, COMPACT_FACTOR * len(content))
