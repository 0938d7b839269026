"""One process of the server, with its output monitored for errors."""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 60.0
_STDERR_LINES_SHOWN = 40


class MonitoredProcess:
    """A process of the server. `errors` are lines that describe what went wrong with it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.errors: list[str] = []
        self._process = process
        self._port: int | None = None
        self._stderr: list[str] = []
        self._output_changed = asyncio.Event()
        self._readers = [
            asyncio.create_task(self._read_stdout()),
            asyncio.create_task(self._read_stderr()),
        ]

    @classmethod
    async def start(
        cls, module: str, flags: list[str], environment: Mapping[str, str]
    ) -> "MonitoredProcess":
        """Start `python -m <module> serve <flags>`."""
        command = [sys.executable, "-m", module, "serve", *flags]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe
        )
        return cls(process)

    async def wait_until_listening(self) -> int:
        """Return the server's port, once it listens."""
        await self._wait_until(lambda: self._port is not None)
        assert self._port is not None
        return self._port

    async def wait_until_standby(self) -> None:
        """Return once the server waits for its predecessor to end."""
        await self._wait_until(lambda: any("waiting for" in line for line in self._stderr))

    async def stop(self) -> None:
        """Send SIGTERM, and wait for the process to end."""
        self.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                status = await self._process.wait()
        except TimeoutError:
            self.errors.append(f"the process did not end within {STOP_TIMEOUT_S:.0f} s")
            await self.kill()
            return
        if status:
            self.errors.append(f"the process ended with status {status}")
        await self._check_stderr()

    async def kill(self) -> None:
        """Send SIGKILL, and wait for the process to end."""
        self.send_signal(signal.SIGKILL)
        await self._process.wait()
        await self._check_stderr()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def _check_stderr(self) -> None:
        await asyncio.gather(*self._readers)
        if any("Traceback" in line or "Error" in line for line in self._stderr):
            tail = "".join(self._stderr[-_STDERR_LINES_SHOWN:])
            self.errors.append(f"the process wrote to stderr:\n{tail}")

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not condition():
                if self._process.returncode is not None:
                    raise RuntimeError(f"the server did not start: {''.join(self._stderr)}")
                self._output_changed.clear()
                await self._output_changed.wait()

    async def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(b"Listening on "):
                self._port = int(line.decode().strip().rpartition(":")[2])
                self._output_changed.set()

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._stderr.append(line.decode())
            self._output_changed.set()
        await self._process.wait()
        self._output_changed.set()
