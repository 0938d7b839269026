"""What `state_dir` keeps: a hub's state across a planned restart, and its changes across a crash.

    start   wait until the previous process has written its state, read it and the journal
    run     every join, leave and revocation goes to the journal before it is answered
    stop    write the state at once, since the process may be killed; again when all is done

The state that was written first is complete only if nothing was sent afterwards. A process that
finds reserved ids beyond it reports `recovered: false` to the clients that may have missed
something.
"""

from typing import Final

import msgspec

from headrace.api.hub import Hub
from headrace.api.session_drain import drain_duration
from headrace.errors import ConfigError
from headrace.hub.snapshot import Snapshot
from headrace.messages.position import Position
from headrace.server.journal import Journal
from headrace.server.state_directory import StateDirectory

RETURN_MARGIN_S: Final = 10.0
"""How much longer than the drain it may take until all clients have reconnected."""


class Persistence:
    """The state directory of one hub. Raises ConfigError if the directory cannot be used."""

    def __init__(self, hub: Hub, path: str) -> None:
        self._hub = hub
        self.directory = StateDirectory(path)
        self._journal = Journal(self.directory.journal_path, hub.core.changes)
        self._saved_at: Position | None = None  # None: the state has not been taken over

    async def take_over(self) -> None:
        """Continue from the state of the previous process, once it has written it.

        Raises ConfigError if the journal cannot be used.
        """
        await self.directory.begin_writing()
        hub, directory = self._hub, self.directory
        snapshot = directory.load()
        try:
            changes = self._journal.read()
        except OSError as error:
            raise ConfigError(
                f"the journal {self.directory.journal_path} cannot be read: {error.strerror}"
            ) from None
        hub.restore(
            snapshot,
            changes,
            reserve=directory.reserve_ids,
            record=self._journal.write,
            return_s=_return_s(snapshot, hub.settings.drain_s),
        )
        if snapshot is None or 0 < snapshot.reserved_ms < directory.reserved_ms():
            # After a crash. Its ids are behind us, whatever the clock says, and what was sent
            # after the state was written is lost.
            history = hub.core.history
            history.floor = history.latest = max(
                history.latest, Position(directory.reserved_ms() + 1, 0)
            )
        directory.reserve_ids(hub.core.history.latest.ms)  # clients may be told this id
        try:
            self._journal.open()
        except OSError as error:
            raise ConfigError(
                f"the journal {self.directory.journal_path} cannot be written: {error.strerror}"
            ) from None
        self._saved_at = hub.core.history.latest

    def save(self) -> None:
        """Write the state, if it had been taken over."""
        if self._saved_at is None:
            return
        self._saved_at = latest = self._hub.core.history.latest
        snapshot = msgspec.structs.replace(self._hub.snapshot(), reserved_ms=latest.ms)
        self.directory.save(snapshot)
        self.directory.reserve_ids(latest.ms)
        self._hub.reserve_again()

    async def hand_over(self) -> None:
        """Let the next process read the state, when the application has been notified."""
        await self._journal.aclose()
        if self._saved_at is not None and self._saved_at != self._hub.core.history.latest:
            self.save()
        self.directory.close()

    def release(self) -> None:
        """Give up after a failed start: write a state that was taken over, and let go."""
        self.save()
        self._journal.close()
        self.directory.close()


def _return_s(snapshot: Snapshot | None, drain_s: float) -> float:
    """Return how long the clients of the previous process may take to reconnect."""
    if snapshot is None or not snapshot.online:
        return 0.0
    return drain_duration(len(snapshot.online), drain_s) + RETURN_MARGIN_S
