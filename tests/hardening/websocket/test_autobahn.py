"""The cases 1 to 10 of Autobahn|Testsuite against the code that serves, byte by byte.

All 301 cases are here; 12 and 13 (compression) are not, because the server does not agree to it.
Where Autobahn has a strict and a non-strict result, the strict one is required.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvloop
from tests.hardening.websocket import cases_close, cases_framing, cases_limits, cases_utf8
from tests.hardening.websocket.cases import Case, close
from tests.hardening.websocket.echo_server import EchoProtocol, open_echo_site
from tests.helpers.site import Site, mint
from tests.helpers.wire import Wire, wire

from headrace.messages import frames

SMALL_CASES = [*cases_framing.CASES, *cases_utf8.CASES, *cases_close.CASES]

on_module_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def echo_site() -> AsyncIterator[Site]:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    async with open_echo_site() as site:
        yield site


async def run(case: Case, site: Site) -> None:
    async with wire(site.port) as client:
        await client.upgrade(mint(), v1=False)
        connection = EchoProtocol.latest
        sent_bytes = 0
        for number, step in enumerate(case.steps, start=1):
            for chunk in step.chunks:
                await client.write(chunk)
                if len(step.chunks) > 1:
                    await asyncio.sleep(0)  # the server reads each chunk by itself
                sent_bytes += len(chunk)
            assert await client.read_exactly(len(step.replies)) == step.replies
            if number < len(case.steps) and not step.replies:
                await connection.wait_received(sent_bytes)
                assert connection.is_open
        if case.client_closes:
            await client.write(close(1000))
        await check_end(client, case)


async def check_end(client: Wire, case: Case) -> None:
    """Check that a close frame is next, and nothing after it."""
    end = await client.read_to_end()
    code = case.close_code.to_bytes(2, "big")
    if case.client_closes:
        assert end == frames.frame(frames.CLOSE, code)
        return
    assert end[2:4] == code
    assert end == frames.frame(frames.CLOSE, end[2:])
    end[4:].decode()


@on_module_loop
@pytest.mark.parametrize("case", SMALL_CASES, ids=lambda case: case.number)
async def test_autobahn(echo_site: Site, case: Case) -> None:
    await run(case, echo_site)


@on_module_loop
@pytest.mark.parametrize("number", cases_limits.CASES)
async def test_autobahn_limits(echo_site: Site, number: str) -> None:
    await run(cases_limits.CASES[number](), echo_site)


def test_every_number_occurs_once() -> None:
    numbers = [*(case.number for case in SMALL_CASES), *cases_limits.CASES]
    assert len(set(numbers)) == len(numbers) == 301
