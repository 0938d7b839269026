"""Chromium with one page for each page client, run by `browser_pages.mjs`."""

import asyncio
import json
from collections.abc import Callable
from typing import NamedTuple

from tests.checker.monitored_process import ROOT

START_TIMEOUT_S = 60.0
_LINE_MAX_BYTES = 1 << 20

PageEvent = dict[str, object]


class _Page(NamedTuple):
    description: dict[str, str]
    on_event: Callable[[PageEvent], None]
    connected_once: asyncio.Event


class Browser:
    """The browser process. Add all pages before the start."""

    def __init__(self) -> None:
        self._pages: dict[str, _Page] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    def add_page(
        self,
        description: dict[str, str],
        on_event: Callable[[PageEvent], None],
        connected_once: asyncio.Event,
    ) -> None:
        """Add a page; `on_event` is called with each event that it reports."""
        self._pages[description["client"]] = _Page(description, on_event, connected_once)

    async def start(self) -> None:
        """Open the pages; return when all have been connected once."""
        if not self._pages:
            return
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            "node",
            str(ROOT / "tests/checker/browser_pages.mjs"),
            stdin=pipe,
            stdout=pipe,
            limit=_LINE_MAX_BYTES,
        )
        self._reader = asyncio.create_task(self._read_events())
        self._write([page.description for page in self._pages.values()])
        async with asyncio.timeout(START_TIMEOUT_S):
            for page in self._pages.values():
                await page.connected_once.wait()

    async def stop(self) -> None:
        """Close the browser."""
        if self._process is None or self._reader is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        await self._reader
        await self._process.wait()

    def hang_up(self, client_id: str) -> None:
        """Have the client's page end its connection and connect again."""
        self._write({"hang_up": client_id})

    def _write(self, command: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def _read_events(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event = json.loads(line)
            self._pages[event.pop("client")].on_event(event)
