"""A batch of 100,000 lines: memory is bounded, and every line has a result, in order."""

import json
from collections.abc import AsyncIterator

import pytest
from tests.helpers.server_process import ServerProcess, server_process
from tests.helpers.site import API_KEY

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # the server is another process

LINES = 100_000
INVALID_LINE = LINES // 2
GROWTH_MAX_BYTES = 8 * 1024 * 1024
HEADERS = {"authorization": f"Bearer {API_KEY}", "content-type": "application/x-ndjson"}


async def body(count: int, invalid: int | None = None) -> AsyncIterator[bytes]:
    """Yield `count` lines of some 200 bytes each, in pieces that may end within a line."""
    buffer = b""
    for number in range(count):
        if number == invalid:
            buffer += b"{not valid}\n"
        else:
            buffer += b'{"to":"alice","data":"%b"}\n' % f"{number:>150}".encode()
        if len(buffer) > 60_000:
            yield buffer[:60_000]
            buffer = buffer[60_000:]
    yield buffer


async def send(site: ServerProcess, count: int, invalid: int | None = None) -> int:
    """Send a batch, check the results as they arrive, and return the peak resident memory."""
    peak_bytes = 0
    last_id = (0, 0)
    number = 0
    async with site.http.post(
        site.url + "/v1/send/batch", data=body(count, invalid), headers=HEADERS, timeout=None
    ) as response:
        assert response.status == 200
        async for line in response.content:
            decoded = json.loads(line)
            if number == invalid:
                assert (decoded["status"], decoded["line"]) == (400, number + 1)
            else:
                assert set(decoded) == {"id", "sessions"}
                milliseconds, sequence = decoded["id"].split("-")
                assert last_id < (last_id := (int(milliseconds), int(sequence)))
            number += 1
            if number % 2000 == 0:
                peak_bytes = max(peak_bytes, site.resident_bytes)
    assert number == count
    return peak_bytes


async def test_100000_lines() -> None:
    async with server_process("--history-max-bytes", "4000000") as site:
        before = await send(site, 10_000)  # the history is full after this
        assert await send(site, LINES, INVALID_LINE) - before < GROWTH_MAX_BYTES
        assert (await site.stats())["messages"] == 10_000 + LINES - 1
