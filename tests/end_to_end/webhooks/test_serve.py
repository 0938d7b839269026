"""`headrace serve --app-url`: webhooks in the server process."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from tests.helpers.application import CONNECTED, DISCONNECTED, MESSAGE, FakeApplication
from tests.helpers.server_process import server_process
from tests.helpers.site import API_KEY, SECRET, Site, mint, opened, recv

NEW_SECRET = "the next secret, 32 bytes long.."

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # the server process has its own loop


async def test_an_application_that_hangs_does_not_delay_messages(
    application: FakeApplication,
) -> None:
    async def hang() -> int:
        await asyncio.Event().wait()
        return 200

    application.respond = lambda kind, body: hang()
    loop = asyncio.get_running_loop()
    async with (
        server_process("--app-url", application.url, "--drain-s", "0") as site,
        AsyncExitStack() as stack,
    ):
        clients = []
        for number in range(40):
            clients.append(await stack.enter_async_context(site.connect(mint(str(number)))))
            await opened(clients[-1])
        await application.wait_until(lambda: application.in_flight == 16)
        slowest_s = 0.0
        for number in range(20):
            started = loop.time()
            await site.send(str(number), everyone=True)
            for client in clients:
                assert (await recv(client))["data"] == str(number)
            slowest_s = max(slowest_s, loop.time() - started)
        assert slowest_s < 1
        assert application.in_flight == 16


async def test_an_application_without_handlers_gets_each_notice_once_also_at_the_stop(
    application: FakeApplication,
) -> None:
    application.respond = lambda kind, body: 404
    async with (
        server_process("--app-url", application.url, "--drain-s", "0") as site,
        AsyncExitStack() as stack,
    ):
        for number in range(3):
            await opened(await stack.enter_async_context(site.connect(mint(str(number)))))
        await application.wait_until(lambda: len(application.posts) == 3)
        result = await site.stop()
    sent = sorted((post.kind, post.client_id) for post in application.posts)
    assert sent == [(kind, str(n)) for kind in (CONNECTED, DISCONNECTED) for n in range(3)]
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        f"no handler for /_ah/channel/{kind}/: the application responded with status 404"
        for kind in (CONNECTED, DISCONNECTED)
    ]


async def test_a_message_for_an_application_without_a_handler_is_forbidden(
    application: FakeApplication,
) -> None:
    application.respond = lambda kind, body: 404 if kind == MESSAGE else 200
    async with server_process("--app-url", application.url, "--drain-s", "0") as site:
        status, problem, _ = await site.post("/v1/messages", {"data": "x"}, key=mint())
    assert status == 403
    assert "the application takes no messages" in problem["detail"]


async def test_sighup_changes_the_signing_secrets(
    application: FakeApplication, tmp_path: Path
) -> None:
    def configure(secret: str) -> None:
        config.write_text(f'secret = "{secret}"\napi_key = "{API_KEY}"\n')

    config = tmp_path / "headrace.toml"
    configure(SECRET)
    environ = {name: os.environ[name] for name in os.environ if not name.startswith("HEADRACE_")}
    command = ["serve", "--port", "0", "--drain-s", "0", "--app-url", application.url]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", *command, "--config", str(config),
        env=environ, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    url = (await process.stdout.readline()).decode().split()[-1]
    async with aiohttp.ClientSession() as http:
        site = Site(url, http)
        async with site.connect(mint("a")) as client:
            await opened(client)
            await application.wait_for_notices((CONNECTED, "a"))
            configure(NEW_SECRET)
            process.send_signal(signal.SIGHUP)
            assert b"were read again" in await process.stderr.readline()
            application.secrets = [NEW_SECRET]
            async with site.connect(mint("b", secret=NEW_SECRET)) as other:
                await opened(other)
                await application.wait_for_notices((CONNECTED, "a"), (CONNECTED, "b"))
    process.terminate()
    assert await process.communicate() == (b"", b"")
    assert process.returncode == 0
