"""The server as a process of its own, that is stopped, killed and started again on one port."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.checker.ids import Id
from tests.checker.options import Options
from tests.checker.serve import CLOCK

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 60.0
PING_INTERVAL_S = 1.0
_FLAGS = {
    "--ping-interval-s": str(PING_INTERVAL_S),
    "--drain-s": "1",
    "--write-timeout-s": "4",
    "--history-max-age-s": "3600",
    "--history-max-bytes": str(512 * 1024 * 1024),
}
CLOCK_MAX_S = 60.0


class Server:
    """One server over several lives.

    `life` counts its starts from 1; `crashes` are ids between the lives that a kill divides, with
    everything before them of the one and everything after of the other; `restarts` the same where
    the end was planned. `faults` are lines about what went wrong with the process.
    """

    def __init__(self, options: Options, directory: Path) -> None:
        self.api_key = secrets.token_urlsafe(32)
        self.port = 0
        self.life = 0
        self.crashes: list[Id] = []
        self.restarts: list[Id] = []
        self.faults: list[str] = []
        self.clock_offset_s = 0.0
        self._secret = secrets.token_urlsafe(32)
        self._options = options
        self._directory = directory
        self._clock_max_s = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._clock = directory / "clock"
        self._set_clock(0.0)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, for the first time or again; return when it listens."""
        self.life += 1
        flags = [text for pair in _FLAGS.items() for text in pair]
        module, environment = "headrace", {}
        if self._options.plant is not None or self._options.clock_steps:
            module = "tests.checker.serve"
            environment["CHECKER_CLOCK"] = str(self._clock)
            if self._options.plant is not None:
                environment["CHECKER_PLANT"] = self._options.plant
        state = self._directory / "state"
        state.mkdir(exist_ok=True)
        flags += ["--port", str(self.port), "--state-dir", str(state), *self._options.server_flags]
        with (self._directory / f"stderr-{self.life}").open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                "serve",
                *flags,
                cwd=ROOT,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")},
                    "HEADRACE_SECRET": self._secret,
                    "HEADRACE_API_KEY": self.api_key,
                    "PYTHONUNBUFFERED": "1",
                    **environment,
                },
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            while line := (await self._process.stdout.readline()).decode():
                if line.startswith("Listening on "):
                    self.port = int(line.strip().rpartition(":")[2])
                    return
        text = (self._directory / f"stderr-{self.life}").read_text()
        raise RuntimeError(f"the server did not start: {text}")

    async def restart(self, *, kill: bool) -> None:
        """End it, by plan or by `kill -9`, and start it again."""
        if kill:
            # A clock that goes back over a crash would give the same ids twice; see the document.
            self._set_clock(self._clock_max_s)
        await self.stop(kill=kill)
        boundary = (int((time.time() + self.clock_offset_s) * 1000), 0)
        (self.crashes if kill else self.restarts).append(boundary)
        await self.start()

    async def stop(self, *, kill: bool = False) -> None:
        """End it and wait for its end."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            status = await process.wait()
            self.faults.append(f"life {self.life} did not end within {STOP_TIMEOUT_S:.0f} s")
        else:
            if not kill and status != 0:
                self.faults.append(f"life {self.life} ended with status {status}")
        text = (self._directory / f"stderr-{self.life}").read_text()
        if "Traceback" in text or "Error" in text:
            self.faults.append(f"life {self.life} wrote to stderr:\n{text[-3000:]}")

    def step_clock(self, random: Random) -> float:
        """Set the server's wall clock forward or back; return the new offset in seconds."""
        self._set_clock(random.uniform(-CLOCK_MAX_S, CLOCK_MAX_S))
        return self.clock_offset_s

    def _set_clock(self, offset_s: float) -> None:
        self.clock_offset_s = offset_s
        self._clock_max_s = max(self._clock_max_s, offset_s)
        if self._clock.exists():
            with self._clock.open("r+b") as file:  # in place: the server has it mapped
                file.write(CLOCK.pack(offset_s))
        else:
            self._clock.write_bytes(CLOCK.pack(offset_s))


def temporary_directory() -> "tempfile.TemporaryDirectory[str]":
    """Return a directory for the server's state and log."""
    return tempfile.TemporaryDirectory(prefix="headrace-checker-")
