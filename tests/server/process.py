"""`headrace serve` as a process of its own."""

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
from tests.server.kit import API_KEY, SECRET, Site


class End(NamedTuple):
    """How a process ended, and what it printed behind its first line."""

    code: int
    stdout: str
    stderr: str


class ServerProcess(Site):
    """A server outside this process."""

    def __init__(self, process: Process, url: str, http: aiohttp.ClientSession) -> None:
        super().__init__(url, http)
        self._process = process

    @property
    def resident_bytes(self) -> int:
        """What it has in memory (proc(5), statm)."""
        statm = Path(f"/proc/{self._process.pid}/statm").read_text()
        return int(statm.split()[1]) * os.sysconf("SC_PAGESIZE")

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> End:
        """Send it a signal and wait for its end."""
        self.send_signal(number)
        return await self.ended()

    async def ended(self) -> End:
        """Wait for its end, however it is brought about."""
        stdout, stderr = await self._process.communicate()
        assert self._process.returncode is not None
        return End(self._process.returncode, stdout.decode(), stderr.decode())


@asynccontextmanager
async def server_process(*flags: str) -> AsyncIterator[ServerProcess]:
    """Run `headrace serve` with these flags; killed at the end, where it did not end by itself."""
    environ = {name: os.environ[name] for name in os.environ if not name.startswith("HEADRACE_")}
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
