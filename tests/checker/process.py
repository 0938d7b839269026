"""One process of the server: started, listened to, and ended."""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 60.0
_STDERR_LINES_SHOWN = 40


class Process:
    """A server's life. `faults` are lines about what went wrong with it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.faults: list[str] = []
        self._process = process
        self._port: int | None = None
        self._said: list[str] = []
        self._news = asyncio.Event()
        self._readers = [
            asyncio.create_task(self._read_stdout()),
            asyncio.create_task(self._read_stderr()),
        ]

    @classmethod
    async def start(
        cls, module: str, flags: list[str], environment: Mapping[str, str]
    ) -> "Process":
        """Start `python -m <module> serve <flags>`."""
        command = [sys.executable, "-m", module, "serve", *flags]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe
        )
        return cls(process)

    async def port(self) -> int:
        """Return where it listens, once it does."""
        await self._wait_until(lambda: self._port is not None)
        assert self._port is not None
        return self._port

    async def waits_for_another(self) -> None:
        """Return once it says that it waits for the server before it to end."""
        await self._wait_until(lambda: any("waiting for" in line for line in self._said))

    async def stop(self) -> None:
        """End it by plan, and wait for its end."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                status = await self._process.wait()
        except TimeoutError:
            self.faults.append(f"it did not end within {STOP_TIMEOUT_S:.0f} s")
            await self.kill()
            return
        if status:
            self.faults.append(f"it ended with status {status}")
        await self._hear_out()

    async def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        await self._process.wait()
        await self._hear_out()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def _hear_out(self) -> None:
        await asyncio.gather(*self._readers)
        if any("Traceback" in line or "Error" in line for line in self._said):
            said = "".join(self._said[-_STDERR_LINES_SHOWN:])
            self.faults.append(f"it wrote to stderr:\n{said}")

    async def _wait_until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not happened():
                if self._process.returncode is not None:
                    raise RuntimeError(f"the server did not start: {''.join(self._said)}")
                self._news.clear()
                await self._news.wait()

    async def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(b"Listening on "):
                self._port = int(line.decode().strip().rpartition(":")[2])
                self._news.set()

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._said.append(line.decode())
            self._news.set()
        await self._process.wait()
        self._news.set()
