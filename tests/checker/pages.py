"""Clients that are pages in a real browser, on our own JavaScript module.

What a page is told is what counts here: the module drops duplicates and resumes by itself.
"""

import asyncio
import contextlib
import json
from random import Random

from tests.checker.client import Client, Finished
from tests.checker.ids import parse_id
from tests.checker.journal import Gap
from tests.checker.process import ROOT

START_TIMEOUT_S = 60.0
_LINE_MAX_BYTES = 1 << 20


class PageClient(Client):
    """One page; `opened` is set when it has been connected once."""

    def __init__(
        self,
        browser: "Browser",
        transport: str,
        client_id: str,
        token: str,
        pos: str,
        port: int,
        random: Random,
    ) -> None:
        self.transport = f"page, {transport}"
        super().__init__(client_id, token, pos, port, random)
        self.opened = asyncio.Event()
        self._browser = browser
        self.page = {
            "client": client_id,
            "url": f"http://127.0.0.1:{port}",
            "token": token,
            "transport": transport,
        }
        browser.add(self)

    async def run(self) -> None:
        await asyncio.Event().wait()  # the page does it

    async def hang_up(self) -> None:
        self._browser.write({"hang_up": self.journal.client_id})

    def take(self, told: dict[str, object]) -> None:
        """Take what the page was told, until it has the last message."""
        kind, journal = told["type"], self.journal
        if self.finished.is_set():
            return
        if kind == "message":
            with contextlib.suppress(Finished):
                self._take(told["id"], told["data"], told["group"])
        elif kind == "open":
            journal.counts["opens"] += 1
            journal.note(f"open id={told['id']} recovered={told['recovered']}")
            self.opened.set()
        elif kind == "gap":
            after = journal.position if told["after"] is None else parse_id(told["after"])
            gap = Gap(after, parse_id(told["before"]), True, "open")
            journal.counts["recovered false"] += 1
            journal.note(f"gap {gap}")
            journal.gaps.append(gap)
        elif kind == "error" and not told["fatal"]:
            journal.counts["connections"] += 1
            journal.note(f"lost: {told['code']} {told['description']}")
        else:
            journal.violate("protocol", f"the page was told {told}")


class Browser:
    """Chromium with a page for each of its clients."""

    def __init__(self) -> None:
        self._clients: dict[str, PageClient] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    def add(self, client: PageClient) -> None:
        """Give `client` a page, before the start."""
        self._clients[client.journal.client_id] = client

    async def start(self) -> None:
        """Open the pages; return when all have been connected once."""
        if not self._clients:
            return
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            "node",
            str(ROOT / "tests/checker/pages.mjs"),
            stdin=pipe,
            stdout=pipe,
            limit=_LINE_MAX_BYTES,
        )
        self._reader = asyncio.create_task(self._read())
        self.write([client.page for client in self._clients.values()])
        async with asyncio.timeout(START_TIMEOUT_S):
            for client in self._clients.values():
                await client.opened.wait()

    async def stop(self) -> None:
        """Close the browser."""
        if self._process is None or self._reader is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        await self._reader
        await self._process.wait()

    def write(self, asked: object) -> None:
        """Ask the browser's process for something."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            self._clients[told.pop("client")].take(told)
