"""The file that carries the history across a planned restart, and who may use it when.

Two processes may overlap in time: the new one starts, and waits, before the old one is told to
end. Three locks in the directory make one server of them:

    waiting     held by the process that will be next, so that the running one knows of it
    accepting   held while a process accepts connections; the next one listens when it is free,
                and what connects from then on waits in its backlog
    writing     held until the old process has written its state; then the next one reads it

The file is written beside its name, synced, and renamed, so that it is whole or not there. It is
removed when it has been read: after a crash an older state would replay the wrong thing.
"""

import asyncio
import fcntl
import hashlib
import logging
import os
from pathlib import Path

import msgspec

from headrace.errors import ConfigError, RequestError
from headrace.snapshot import Snapshot, check_ids

_log = logging.getLogger("headrace")

_MAGIC = b"headrace state 3\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_POLL_S = 0.05


class StateDirectory:
    """The directory of `state_dir`; ConfigError where it cannot be used."""

    def __init__(self, path: str) -> None:
        self._directory = Path(path)
        self._file = self._directory / "history"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._waiting, self._accepting, self._writing, self._ids = (
                os.open(self._directory / name, os.O_RDWR | os.O_CREAT, 0o600)
                for name in ("waiting", "accepting", "writing", "ids")
            )
        except OSError as error:
            raise ConfigError(
                f"state_dir {path} cannot be used: {error.strerror}; name a directory that the"
                " server may write to"
            ) from None

    async def begin_accepting(self) -> None:
        """Wait until no other process accepts connections."""
        await _lock(self._waiting, "the server that already waits for the running one to end")
        await _lock(self._accepting, "the running server to end")
        fcntl.flock(self._waiting, fcntl.LOCK_UN)

    def has_successor(self) -> bool:
        """Tell whether another process waits to take over."""
        try:
            fcntl.flock(self._waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._waiting, fcntl.LOCK_UN)
        return False

    async def begin_writing(self) -> None:
        """Wait until the process before has written its state."""
        await _lock(self._writing, "the ending server to write its history")

    def end_accepting(self) -> None:
        """Let the next process listen."""
        fcntl.flock(self._accepting, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let the next process read, and end."""
        for descriptor in (self._waiting, self._accepting, self._writing, self._ids):
            os.close(descriptor)

    def reserve_ids(self, until_ms: int) -> None:
        """Note that ids up to `until_ms` may be given out, so that no later process repeats one.

        One write of fixed length into the page cache, which outlives the process. A failure is
        logged.
        """
        try:
            os.pwrite(self._ids, b"%020d\n" % until_ms, 0)
        except OSError as error:
            _log.error("the ids in use could not be noted: %s", error.strerror)

    def reserved_ms(self) -> int:
        """Return up to which time ids may have been given out; 0 where nothing was noted."""
        noted = os.pread(self._ids, 20, 0)
        return int(noted) if noted.isdigit() else 0

    def save(self, snapshot: Snapshot) -> None:
        """Write the state; a failure is logged, and the next start is empty."""
        body = msgspec.msgpack.encode(snapshot)
        beside = self._file.with_suffix(".new")
        try:
            beside.unlink(missing_ok=True)
            with open(beside, "xb", opener=_private) as file:
                file.write(_MAGIC + hashlib.sha256(body).digest() + body)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._file)
            directory = os.open(self._directory, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)
        except OSError as error:
            _log.error("the history could not be written to %s: %s", self._file, error.strerror)

    def load(self) -> Snapshot | None:
        """Read the state and remove it; None where there is none, or none that can be trusted."""
        try:
            content = self._file.read_bytes()
            self._file.unlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.error("the history in %s cannot be read: %s", self._file, error.strerror)
            return None
        fault = None
        head, body = content[: len(_MAGIC)], content[len(_MAGIC) + _DIGEST_BYTES :]
        if head != _MAGIC:
            fault = "it is of another version, or no history at all"
        elif hashlib.sha256(body).digest() != content[len(_MAGIC) :][:_DIGEST_BYTES]:
            fault = "it is torn: its checksum does not fit"
        if fault is None:
            try:
                snapshot = msgspec.msgpack.decode(body, type=Snapshot)
                check_ids(snapshot)
                return snapshot
            except (
                msgspec.DecodeError,
                UnicodeDecodeError,
                RecursionError,
                RequestError,
            ) as error:
                fault = f"it does not fit: {error}"
        _log.error("%s is not used, the history starts empty: %s", self._file, fault)
        return None


def _private(path: str, flags: int) -> int:
    """Create a file that nobody else may read: there are messages in it."""
    return os.open(path, flags, 0o600)


async def _lock(descriptor: int, what: str) -> None:
    """Take a lock (flock(2)) without blocking the loop, and say what is waited for."""
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                _log.warning("waiting for %s", what)
                told = True
            await asyncio.sleep(_POLL_S)
        else:
            return
