"""The server under test over several lives: restarted, handed over, killed, its clock set."""

import asyncio
import os
import secrets
import signal
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from random import Random

from tests.checker.client import PING_INTERVAL_S
from tests.checker.ids import START, Id
from tests.checker.options import Options
from tests.checker.process import Process
from tests.checker.serve import CLOCK

CLOCK_MAX_S = 60.0
_FLAGS = {
    "--ping-interval-s": str(PING_INTERVAL_S),
    "--drain-s": "1",
    "--write-timeout-s": "4",
    "--history-max-age-s": "3600",
    "--history-max-bytes": str(512 * 1024 * 1024),
}
_IMPATIENCE_MAX_S = 0.5  # of who kills a server that he has just told to end


class End(StrEnum):
    """How a life of the server ends."""

    RESTART = "a planned restart"
    """SIGTERM; the new one starts when the old one has ended."""
    HANDOVER = "a planned handover"
    """The new one starts and waits; then the old one gets its SIGTERM."""
    KILL = "kill -9"
    IMPATIENT = "SIGTERM, and kill -9 before it has ended"


class Server:
    """`life` counts its starts from 1, and `memory` those of them that know nothing of the last.

    `crashes` and `restarts` are ids between two lives each: everything accepted before has a lower
    id, and everything after a higher one. For that, `latest` must be kept at the newest id that is
    known. `faults` are lines about what went wrong with its processes.
    """

    def __init__(self, options: Options, directory: Path) -> None:
        self.api_key = secrets.token_urlsafe(32)
        self.port = 0
        self.latest = START
        self.life = 0
        self.memory = 1
        self.crashes: list[Id] = []
        self.restarts: list[Id] = []
        self.faults: list[str] = []
        self._secret = secrets.token_urlsafe(32)
        self._options = options
        self._state = directory / "state"
        self._clock = directory / "clock"
        self._clock_offset_s = 0.0
        self._clock.write_bytes(CLOCK.pack(0.0))
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, for the first time or again; return when it listens."""
        self._process = await self._spawn()
        await self._listens(self._process)

    async def stop(self) -> None:
        """End it, by plan."""
        if self._process is not None:
            await self._process.stop()
            self._take_faults(self._process)

    async def restart(self, end: End, random: Random) -> None:
        """End it in this way, and have it listen again."""
        process = self._process
        assert process is not None
        if end is End.HANDOVER:
            successor = self._process = await self._spawn()
            await successor.waits_for_another()
            self._planned()
            await asyncio.gather(process.stop(), self._listens(successor))
            self._take_faults(process)
            return
        if end is End.RESTART:
            await process.stop()
            self._planned()
        else:
            if self._options.clock_steps:  # back, so that it could give ids out again
                self._set_clock(self._clock_offset_s - random.uniform(0, CLOCK_MAX_S))
            if end is End.IMPATIENT:
                process.signal(signal.SIGTERM)
                await asyncio.sleep(random.uniform(0, _IMPATIENCE_MAX_S))
            await process.kill()
            # Too late, it may have ended by plan: then its state is there.
            if (self._state / "history").exists():
                self._planned()
            else:
                self.crashes.append(self._now())
                self.memory += 1
        self._take_faults(process)
        await self.start()

    def step_clock(self, random: Random) -> float:
        """Set the server's wall clock forward or back; return the new offset in seconds."""
        self._set_clock(random.uniform(-CLOCK_MAX_S, CLOCK_MAX_S))
        return self._clock_offset_s

    async def _spawn(self) -> Process:
        flags = [text for pair in _FLAGS.items() for text in pair]
        if self._options.pages:
            flags += ["--allowed-origin", "*"]
        flags += ["--port", str(self.port), "--state-dir", str(self._state)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
        environment |= {"HEADRACE_SECRET": self._secret, "HEADRACE_API_KEY": self.api_key}
        environment["PYTHONUNBUFFERED"] = "1"
        module = "headrace"
        if self._options.plant is not None or self._options.clock_steps:
            module = "tests.checker.serve"
            environment["CHECKER_CLOCK"] = str(self._clock)
            environment["CHECKER_PLANT"] = self._options.plant or ""
        return await Process.start(module, [*flags, *self._options.server_flags], environment)

    async def _listens(self, process: Process) -> None:
        self.port = await process.port()
        self.life += 1

    def _planned(self) -> None:
        self.restarts.append(self._now())
        if not self._options.lossless_restarts:
            self.memory += 1

    def _take_faults(self, process: Process) -> None:
        self.faults += process.faults

    def _now(self) -> Id:
        """Return an id that lies between those of the last life and those of the next."""
        now = int((time.time() + self._clock_offset_s) * 1000), 0
        return max(now, (self.latest[0], self.latest[1] + 1))

    def _set_clock(self, offset_s: float) -> None:
        self._clock_offset_s = offset_s
        with self._clock.open("r+b") as file:  # in place: the server has it mapped
            file.write(CLOCK.pack(offset_s))


def temporary_directory() -> "tempfile.TemporaryDirectory[str]":
    """Return a directory for the server's state."""
    return tempfile.TemporaryDirectory(prefix="headrace-checker-")
