"""A batch of 100,000 lines: the memory stays flat, and each line is answered in order."""

import json
from collections.abc import AsyncIterator

import pytest
from tests.server.kit import API_KEY
from tests.server.process import ServerProcess, server_process

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # the process has its own loop

LINES = 100_000
BAD = LINES // 2
GROWTH_MAX_BYTES = 8 * 1024 * 1024
HEADERS = {"authorization": f"Bearer {API_KEY}", "content-type": "application/x-ndjson"}


async def body(count: int, bad: int | None = None) -> AsyncIterator[bytes]:
    """So many lines of some 200 bytes each, in pieces that end anywhere."""
    kept = b""
    for number in range(count):
        data = f"{number:>150}"
        kept += b"{no send}\n" if number == bad else b'{"to":"alice","data":"%b"}\n' % data.encode()
        if len(kept) > 60_000:
            yield kept[:60_000]
            kept = kept[60_000:]
    yield kept


async def send(site: ServerProcess, count: int, bad: int | None = None) -> int:
    """Send a batch, check its answers as they come, and return the most memory meanwhile."""
    most_bytes = 0
    last_id = (0, 0)
    number = 0
    async with site.http.post(
        site.url + "/v1/send/batch", data=body(count, bad), headers=HEADERS, timeout=None
    ) as answer:
        assert answer.status == 200
        async for line in answer.content:
            decoded = json.loads(line)
            if number == bad:
                assert (decoded["status"], decoded["line"]) == (400, number + 1)
            else:
                assert set(decoded) == {"id", "sessions"}
                milliseconds, sequence = decoded["id"].split("-")
                assert last_id < (last_id := (int(milliseconds), int(sequence)))
            number += 1
            if number % 2000 == 0:
                most_bytes = max(most_bytes, site.resident_bytes)
    assert number == count
    return most_bytes


async def test_100000_lines() -> None:
    async with server_process("--history-max-bytes", "4000000") as site:
        before = await send(site, 10_000)  # the history is full from here on
        assert await send(site, LINES, BAD) - before < GROWTH_MAX_BYTES
        assert (await site.stats())["messages"] == 10_000 + LINES - 1
