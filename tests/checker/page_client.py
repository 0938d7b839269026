"""A client that is a page in a real browser, with the project's JavaScript module.

The events that the page receives are logged. The module resumes and drops duplicates by itself.
"""

import asyncio
import contextlib
from random import Random

from tests.checker.browser import Browser
from tests.checker.checker_client import CheckerClient, FinalMessageReceived


class PageClient(CheckerClient):
    """One page. `connected_once` is set when it has been connected for the first time."""

    def __init__(
        self,
        browser: Browser,
        transport: str,
        client_id: str,
        token: str,
        pos: str,
        port: int,
        random: Random,
    ) -> None:
        self.transport = f"page, {transport}"
        super().__init__(client_id, token, pos, port, random)
        self.connected_once = asyncio.Event()
        self._browser = browser
        page = {
            "client": client_id,
            "url": f"http://127.0.0.1:{port}",
            "token": token,
            "transport": transport,
        }
        browser.add_page(page, self.add_event, self.connected_once)

    async def run(self) -> None:
        await asyncio.Event().wait()  # the page connects and reconnects by itself

    async def hang_up(self) -> None:
        self._browser.hang_up(self.log.client_id)

    def add_event(self, event: dict[str, object]) -> None:
        """Log an event of the page, until it has received a final message."""
        kind, log = event["type"], self.log
        if self.finished.is_set():
            return
        if kind == "message":
            with contextlib.suppress(FinalMessageReceived):
                self._add_message(event["id"], event["data"], event["group"])
        elif kind == "open":
            log.counts["opens"] += 1
            log.add_trace(f"open id={event['id']} recovered={event['recovered']}")
            self.connected_once.set()
        elif kind == "gap":
            log.add_page_gap(event["after"], event["before"])
        elif kind == "error" and not event["fatal"]:
            log.counts["connections"] += 1
            log.add_trace(f"the connection was lost: {event['code']} {event['description']}")
        else:
            log.add_violation("protocol", f"unexpected event of the page: {event}")
