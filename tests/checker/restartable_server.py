"""The server under test over several processes: restarted, handed over, killed, its clock set."""

import asyncio
import os
import secrets
import signal
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from random import Random

from tests.checker.checker_client import PING_INTERVAL_S
from tests.checker.instrumented_server import CLOCK_OFFSET
from tests.checker.message_id import START, MessageId
from tests.checker.monitored_process import MonitoredProcess
from tests.checker.options import Options

CLOCK_STEP_MAX_S = 60.0
_FLAGS = {
    "--ping-interval-s": str(PING_INTERVAL_S),
    "--drain-s": "1",
    "--write-timeout-s": "4",
    "--history-max-age-s": "3600",
    "--history-max-bytes": str(512 * 1024 * 1024),
}
_KILL_DELAY_MAX_S = 0.5  # from SIGTERM to SIGKILL


class ShutdownKind(StrEnum):
    """How a process of the server ends."""

    RESTART = "planned restart"
    """SIGTERM; the new process starts when the old one has ended."""
    HANDOVER = "planned handover"
    """The new process starts and waits; then the old one gets SIGTERM."""
    KILL = "SIGKILL"
    TERM_AND_KILL = "SIGTERM, then SIGKILL"
    """SIGKILL before the process has ended."""


class RestartableServer:
    """A server that can be restarted in several ways.

    `starts` counts its processes. `state_epoch` counts from 1 how often the server has started
    without the state of the process before.

    `crashes` and `restarts` are IDs between two processes each: everything accepted before has a
    lower ID, everything accepted after a higher one. For that, the caller must keep `latest_id` at
    the newest known ID. `errors` are lines that describe what went wrong with the processes.
    """

    def __init__(self, options: Options, directory: Path) -> None:
        self.api_key = secrets.token_urlsafe(32)
        self.port = 0
        self.latest_id = START
        self.starts = 0
        self.state_epoch = 1
        self.crashes: list[MessageId] = []
        self.restarts: list[MessageId] = []
        self.errors: list[str] = []
        self._secret = secrets.token_urlsafe(32)
        self._options = options
        self._state_dir = directory / "state"
        self._clock = directory / "clock"
        self._clock_offset_s = 0.0
        self._clock.write_bytes(CLOCK_OFFSET.pack(0.0))
        self._process: MonitoredProcess | None = None

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start a process; return when it listens."""
        self._process = await self._spawn()
        await self._wait_until_listening(self._process)

    async def stop(self) -> None:
        """Shut the server down normally."""
        if self._process is not None:
            await self._process.stop()
            self.errors += self._process.errors

    async def restart(self, kind: ShutdownKind, random: Random) -> None:
        """End the process in the given way, and start another; return when that one listens."""
        process = self._process
        assert process is not None
        if kind is ShutdownKind.HANDOVER:
            successor = self._process = await self._spawn()
            await successor.wait_until_standby()
            self._add_restart()
            await asyncio.gather(process.stop(), self._wait_until_listening(successor))
            self.errors += process.errors
            return
        if kind is ShutdownKind.RESTART:
            await process.stop()
            self._add_restart()
        else:
            await self._crash(process, kind, random)
        self.errors += process.errors
        await self.start()

    async def _crash(self, process: MonitoredProcess, kind: ShutdownKind, random: Random) -> None:
        if self._options.clock_steps:  # back, so that the server could assign IDs again
            self._set_clock(self._clock_offset_s - random.uniform(0, CLOCK_STEP_MAX_S))
        if kind is ShutdownKind.TERM_AND_KILL:
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(random.uniform(0, _KILL_DELAY_MAX_S))  # a crash at a random time
        await process.kill()
        # The process may have ended normally before the SIGKILL: then it has saved its state.
        if (self._state_dir / "history").exists():
            self._add_restart()
        else:
            self.crashes.append(self._next_id())
            self.state_epoch += 1

    def step_clock(self, random: Random) -> float:
        """Set the server's wall clock forward or back; return the new offset in seconds."""
        self._set_clock(random.uniform(-CLOCK_STEP_MAX_S, CLOCK_STEP_MAX_S))
        return self._clock_offset_s

    async def _spawn(self) -> MonitoredProcess:
        flags = [text for pair in _FLAGS.items() for text in pair]
        if self._options.pages:
            flags += ["--allowed-origin", "*"]
        flags += ["--port", str(self.port), "--state-dir", str(self._state_dir)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
        environment |= {"HEADRACE_SECRET": self._secret, "HEADRACE_API_KEY": self.api_key}
        environment["PYTHONUNBUFFERED"] = "1"
        module = "headrace"
        if self._options.plant is not None or self._options.clock_steps:
            module = "tests.checker.instrumented_server"
            environment["CHECKER_CLOCK"] = str(self._clock)
            environment["CHECKER_PLANT"] = self._options.plant or ""
        return await MonitoredProcess.start(
            module, [*flags, *self._options.server_flags], environment
        )

    async def _wait_until_listening(self, process: MonitoredProcess) -> None:
        self.port = await process.wait_until_listening()
        self.starts += 1

    def _add_restart(self) -> None:
        self.restarts.append(self._next_id())
        if not self._options.lossless_restarts:
            self.state_epoch += 1

    def _next_id(self) -> MessageId:
        """Return an ID between those of the last process and those of the next."""
        now = int((time.time() + self._clock_offset_s) * 1000), 0
        return max(now, (self.latest_id[0], self.latest_id[1] + 1))

    def _set_clock(self, offset_s: float) -> None:
        self._clock_offset_s = offset_s
        with self._clock.open("r+b") as file:  # in place: the server has mapped the file
            file.write(CLOCK_OFFSET.pack(offset_s))


def temporary_directory() -> "tempfile.TemporaryDirectory[str]":
    """Return a directory for the server's state."""
    return tempfile.TemporaryDirectory(prefix="headrace-checker-")
