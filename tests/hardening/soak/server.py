"""The server under test: one process after the other, on one port and one `state_dir`."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

from tests.helpers.site import API_KEY, SECRET

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 60.0

EXPECTED_STDERR = re.compile(
    r".*waiting for the (running server to stop|stopping server to write its state)"
)

MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "8192",
    "MALLOC_TRIM_THRESHOLD_": "8192",
    "MALLOC_TOP_PAD_": "0",
}
"""glibc then returns freed memory at once (mallopt(3)). Otherwise it keeps what lies free between
used blocks: with the same 47 MiB in use, resident memory had steps of up to 20 MiB."""

FLAGS = {
    "--drain-s": "0.5",
    "--presence-grace-s": "0.3",
    "--ping-interval-s": "2",
    "--write-timeout-s": "3",
    # A small history is full after the first burst, and does not grow afterwards.
    "--history-max-bytes": str(2 * 1024 * 1024),
    "--history-max-age-s": "5",
    "--ring-max-bytes": str(256 * 1024),
}


class ServerProcess:
    """One process. `problems` are lines that describe what went wrong with it."""

    def __init__(self, process: Process) -> None:
        self.pid = process.pid
        self.port = 0
        self.problems: list[str] = []
        self._process = process
        self._stderr: list[str] = []
        self._changed = asyncio.Event()
        self._readers = [
            asyncio.create_task(self._read_stdout()),
            asyncio.create_task(self._read_stderr()),
        ]

    @classmethod
    async def start(cls, state_dir: Path, port: int) -> "ServerProcess":
        """Start a process; it waits if another one is running."""
        environ = {
            name: os.environ[name] for name in os.environ if not name.startswith("HEADRACE_")
        }
        environ |= {"HEADRACE_SECRET": SECRET, "HEADRACE_API_KEY": API_KEY, "PYTHONUNBUFFERED": "1"}
        environ |= MALLOC
        flags = [text for pair in FLAGS.items() for text in pair]
        command = [sys.executable, "-m", "headrace", "serve", "--port", str(port), *flags]
        process = await asyncio.create_subprocess_exec(
            *command, "--state-dir", str(state_dir), env=environ, stdout=PIPE, stderr=PIPE
        )
        return cls(process)

    async def wait_until_listening(self) -> None:
        await self._wait(lambda: self.port != 0)

    async def wait_until_standby(self) -> None:
        """Wait until the process waits for its predecessor."""
        await self._wait(lambda: any("waiting for" in line for line in self._stderr))

    @property
    def resident_bytes(self) -> int:
        """The process's resident memory (proc(5), statm)."""
        statm = Path(f"/proc/{self.pid}/statm").read_text()
        return int(statm.split()[1]) * os.sysconf("SC_PAGESIZE")

    @property
    def descriptors(self) -> int:
        """The number of the process's open file descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    async def stop(self) -> None:
        """Send SIGTERM, wait for the end, and check the exit status and stderr."""
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                status = await self._process.wait()
        except TimeoutError:
            self.problems.append(f"the process did not end within {STOP_TIMEOUT_S:.0f} s")
            await self.kill()
            return
        await asyncio.gather(*self._readers)
        if status:
            self.problems.append(f"the process ended with status {status}")
        unexpected = [line for line in self._stderr if not EXPECTED_STDERR.match(line)]
        if unexpected:
            self.problems.append(f"the process wrote to stderr:\n{''.join(unexpected[:40])}")

    async def kill(self) -> None:
        """Send SIGKILL, if the process has not ended."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await asyncio.gather(*self._readers)

    async def _wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not condition():
                if self._process.returncode is not None:
                    raise RuntimeError(f"the server did not start: {''.join(self._stderr)}")
                self._changed.clear()
                await self._changed.wait()

    async def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(b"Listening on "):
                self.port = int(line.decode().strip().rpartition(":")[2])
                self._changed.set()

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._stderr.append(line.decode())
            self._changed.set()
        await self._process.wait()
        self._changed.set()
