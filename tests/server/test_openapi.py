"""`/openapi.json`, and that the server does what it says; `/readyz`, which came with it."""

import asyncio
from collections.abc import Callable

from tests.server.conftest import Serve
from tests.server.kit import Site
from tests.server.test_errors import check_problem
from tests.server.wire import wire

from headrace import limits
from headrace.server.http import HttpProtocol
from headrace.server.stream import StreamProtocol


async def until(true: Callable[[], bool]) -> None:
    """Let the server have its turns until something is so."""
    while not true():  # noqa: ASYNC110 - the server tells nobody of what is waited for
        await asyncio.sleep(0)


def begun(connection: HttpProtocol | StreamProtocol) -> bool:
    """Whether some of a request has arrived, and not all."""
    return isinstance(connection, HttpProtocol) and connection._http.in_request


async def test_readyz_is_open(site: Site) -> None:
    async with wire(site.port) as client:
        reply = await client.ask("GET", "/readyz")
    assert reply.status == 200
    assert reply.json() == {"status": "ready"}


async def test_a_server_that_goes_is_alive_but_not_ready(serve: Serve) -> None:
    site = await serve()
    async with wire(site.port) as prober, wire(site.port) as other, asyncio.TaskGroup() as group:
        # What has begun is answered, so these two outlive the draining's beginning.
        await prober.write(b"GET /readyz HTTP/1.1\r\n")
        await other.write(b"GET /healthz HTTP/1.1\r\n")
        await until(lambda: sum(map(begun, site.server.connections)) == 2)
        group.create_task(site.server.stop())
        await until(lambda: site.server.draining)
        await prober.write(b"Host: headrace.test\r\n\r\n")
        reply = await prober.reply()
        check_problem(reply, 503)
        assert reply.headers["retry-after"] == str(limits.RETRY_AFTER_S)
        assert reply.headers["connection"] == "close"
        await other.write(b"Host: headrace.test\r\n\r\n")
        assert (await other.reply()).json() == {"status": "ok"}
