"""The file that carries a hub's state across a planned restart, and the locks that guard it.

Two processes may overlap: the new one starts, and waits, before the old one is told to stop. Three
locks in the directory order their steps:

    waiting     held by the process that will be next, so that the running one knows about it
    accepting   held while a process accepts connections; when it is free the next process listens,
                and new connections wait in its backlog
    writing     held until the old process has written its state; then the next process reads it

The file is written under another name, synced and renamed, so that it is either complete or absent.
It is removed once it has been read: after a crash an older state would replay the wrong messages.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import stat
from pathlib import Path

import msgspec

from headrace.errors import ConfigError, InputError
from headrace.hub.snapshot import Snapshot, check_positions

_log = logging.getLogger("headrace")

_MAGIC = b"headrace state 3\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_POLL_S = 0.05
_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class StateDirectory:
    """The directory of `state_dir`. Raises ConfigError if it cannot be used."""

    def __init__(self, path: str) -> None:
        self._directory = Path(path)
        self._file = self._directory / "history"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._descriptors = tuple(
                os.open(self._directory / name, _OPEN_FLAGS, 0o600)
                for name in ("waiting", "accepting", "writing", "ids")
            )
        except OSError as error:
            raise ConfigError(
                f"state_dir {path} cannot be used: {error.strerror}; use a directory that the"
                " server may write to"
            ) from None
        self._waiting, self._accepting, self._writing, self._ids = self._descriptors

    async def begin_accepting(self) -> None:
        """Wait until no other process accepts connections."""
        await _lock(self._waiting, "another server that waits for the running one to stop")
        await _lock(self._accepting, "the running server to stop")
        fcntl.flock(self._waiting, fcntl.LOCK_UN)

    def has_successor(self) -> bool:
        """Return True if another process waits to take over."""
        try:
            fcntl.flock(self._waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._waiting, fcntl.LOCK_UN)
        return False

    async def begin_writing(self) -> None:
        """Wait until the previous process has written its state."""
        await _lock(self._writing, "the stopping server to write its state")

    def end_accepting(self) -> None:
        """Allow the next process to listen."""
        fcntl.flock(self._accepting, fcntl.LOCK_UN)

    def close(self) -> None:
        """Allow the next process to read the state. A second call does nothing."""
        descriptors, self._descriptors = self._descriptors, ()
        for descriptor in descriptors:
            os.close(descriptor)

    def reserve_ids(self, until_ms: int) -> None:
        """Store that ids up to `until_ms` may have been used, so that none is used again.

        This is one write of fixed length into the page cache, which outlives the process. A failure
        is logged.
        """
        try:
            os.pwrite(self._ids, b"%020d\n" % until_ms, 0)
        except OSError as error:
            _log.error("the reserved ids could not be written: %s", error.strerror)

    def reserved_ms(self) -> int:
        """Return the time up to which ids may have been used; 0 if none is stored."""
        stored = os.pread(self._ids, 20, 0)
        return int(stored) if stored.isdigit() else 0

    @property
    def path(self) -> Path:
        """The directory."""
        return self._directory

    @property
    def journal_path(self) -> Path:
        """The file of the journal."""
        return self._directory / "journal"

    def has_predecessor(self) -> bool:
        """Return True if another process accepts connections with this directory."""
        try:
            fcntl.flock(self._accepting, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._accepting, fcntl.LOCK_UN)
        return False

    def save(self, snapshot: Snapshot) -> None:
        """Write the state. A failure is logged, and the next process starts empty."""
        body = msgspec.msgpack.encode(snapshot)
        temporary = self._file.with_suffix(".new")
        try:
            temporary.unlink(missing_ok=True)
            with open(temporary, "xb", opener=_private) as file:
                file.write(_MAGIC + hashlib.sha256(body).digest() + body)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._file)
            directory = os.open(self._directory, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)
        except OSError as error:
            _log.error("the state could not be written to %s: %s", self._file, error.strerror)
            with contextlib.suppress(OSError):  # on a full disk it would only take space
                temporary.unlink(missing_ok=True)

    def load(self) -> Snapshot | None:
        """Read the state and remove the file; None if there is no valid one."""
        try:
            content = _read_regular_file(self._file)
            self._file.unlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.error("the state in %s cannot be read: %s", self._file, error.strerror)
            return None
        fault = None
        head, body = content[: len(_MAGIC)], content[len(_MAGIC) + _DIGEST_BYTES :]
        if head != _MAGIC:
            fault = "it is of another version, or not a state file"
        elif hashlib.sha256(body).digest() != content[len(_MAGIC) :][:_DIGEST_BYTES]:
            fault = "it is damaged: its checksum does not match"
        if fault is None:
            try:
                snapshot = msgspec.msgpack.decode(body, type=Snapshot)
                check_positions(snapshot)
                return snapshot
            except (
                msgspec.DecodeError,
                UnicodeDecodeError,
                RecursionError,
                InputError,
            ) as error:
                fault = f"its content is not valid: {error}"
        _log.error("%s is ignored, and the history starts empty: %s", self._file, fault)
        return None


def _read_regular_file(path: Path) -> bytes:
    """Read a file that must not be a link, and not block on one that is a FIFO."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read()


def _private(path: str, flags: int) -> int:
    """Create a file that only its owner may read: it holds messages."""
    return os.open(path, flags, 0o600)


async def _lock(descriptor: int, what: str) -> None:
    """Take a lock (flock(2)) without blocking the event loop; log what is waited for."""
    logged = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not logged:
                _log.warning("waiting for %s", what)
                logged = True
            await asyncio.sleep(_POLL_S)  # flock has no wait that a loop can cancel
        else:
            return
