"""What one connection sends in one go is worked off in turns: others are served in between."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.server.kit import Site
from tests.server.wire import request, wire

from headrace.api.dispatch import Dispatcher
from headrace.protocol.body import ChunkedBody

REFUSED = 4000


class LongestRun:
    """Counts calls, and how many there were at most within one tick of the loop."""

    def __init__(self) -> None:
        self.calls = 0
        self.longest = 0
        self._run = 0

    def watch(self, patch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            if not self._run:
                asyncio.get_running_loop().call_soon(self._end_tick)
            self._run += 1
            self.calls += 1
            self.longest = max(self.longest, self._run)
            return original(*args, **kwargs)

        patch.setattr(owner, name, counted)

    def _end_tick(self) -> None:
        self._run = 0


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
async def test_requests_that_are_refused_at_once_take_turns(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    run = LongestRun()
    run.watch(monkeypatch, Dispatcher, "begin")
    path = "/v1/send" if method == "POST" else "/nothing"
    async with wire(site.port) as client:
        writing = asyncio.create_task(client.write(request(method, path) * REFUSED))
        statuses = {(await client.reply()).status for _ in range(REFUSED)}
        await writing
    assert statuses == {401 if method == "POST" else 404}
    assert run.calls == REFUSED
    assert run.longest < REFUSED / 4


async def test_a_body_of_tiny_chunks_takes_turns(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = LongestRun()
    run.watch(monkeypatch, ChunkedBody, "_step")
    chunks = 30_000
    async with wire(site.port) as client:
        head = request("POST", "/v1/messages", "Transfer-Encoding: chunked")
        await client.write(head + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")
        assert (await client.reply()).status == 400
    assert run.calls > 3 * chunks
    assert run.longest < 3 * chunks / 4
