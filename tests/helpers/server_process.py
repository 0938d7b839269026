"""`headrace serve` in a separate process."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
from tests.helpers.site import API_KEY, SECRET, Site


class ProcessResult(NamedTuple):
    """The exit code of a process, and what it printed after its first line."""

    exit_code: int
    stdout: str
    stderr: str


class ServerProcess(Site):
    """A server in another process."""

    def __init__(self, process: Process, url: str, http: aiohttp.ClientSession) -> None:
        super().__init__(url, http)
        self._process = process

    @property
    def resident_bytes(self) -> int:
        """The resident memory of the process (proc(5), statm)."""
        statm = Path(f"/proc/{self._process.pid}/statm").read_text()
        return int(statm.split()[1]) * os.sysconf("SC_PAGESIZE")

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> ProcessResult:
        """Send a signal and wait until the process has exited."""
        self.send_signal(number)
        return await self.wait_exit()

    async def wait_exit(self) -> ProcessResult:
        """Wait until the process has exited."""
        stdout, stderr = await self._process.communicate()
        assert self._process.returncode is not None
        return ProcessResult(self._process.returncode, stdout.decode(), stderr.decode())


@asynccontextmanager
async def server_process(*flags: str, keys: bool = True) -> AsyncIterator[ServerProcess]:
    """Run `headrace serve` with these flags, and without `keys` in its environment if asked to.

    It is killed afterwards if it still runs.
    """
    environ = {name: os.environ[name] for name in os.environ if not name.startswith("HEADRACE_")}
    if keys:
        environ |= {"HEADRACE_SECRET": SECRET, "HEADRACE_API_KEY": API_KEY}
    command = [sys.executable, "-m", "headrace", "serve", "--port", "0", *flags]
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=PIPE, stderr=PIPE)
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.startswith("Listening on http"), line
        async with aiohttp.ClientSession() as http:
            yield ServerProcess(process, line.split()[-1], http)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
