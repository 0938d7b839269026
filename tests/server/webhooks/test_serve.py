"""`headrace serve --app-url`: the sender in the process that serves."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from tests.server.application import CAME, Application
from tests.server.kit import API_KEY, SECRET, Site, mint, opened, recv
from tests.server.process import server_process

OTHER = "the secret after, 32 bytes long."

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # the process has its own loop


async def test_an_application_that_hangs_delays_no_delivery(application: Application) -> None:
    async def hang() -> int:
        await asyncio.Event().wait()
        return 200

    application.answer = lambda kind, body: hang()
    loop = asyncio.get_running_loop()
    async with (
        server_process("--app-url", application.url, "--drain-s", "0") as site,
        AsyncExitStack() as stack,
    ):
        clients = []
        for number in range(40):
            clients.append(await stack.enter_async_context(site.connect(mint(str(number)))))
            await opened(clients[-1])
        await application.until(lambda: application.under_way == 16)
        slowest_s = 0.0
        for number in range(20):
            started = loop.time()
            await site.send(str(number), everyone=True)
            for client in clients:
                assert (await recv(client))["data"] == str(number)
            slowest_s = max(slowest_s, loop.time() - started)
        assert slowest_s < 1
        assert application.under_way == 16


async def test_new_keys_sign_after_sighup(application: Application, tmp_path: Path) -> None:
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
            await application.until_told((CAME, "a"))
            configure(OTHER)
            process.send_signal(signal.SIGHUP)
            assert b"were read again" in await process.stderr.readline()
            application.secrets = [OTHER]
            async with site.connect(mint("b", secret=OTHER)) as other:
                await opened(other)
                await application.until_told((CAME, "a"), (CAME, "b"))
    process.terminate()
    assert await process.communicate() == (b"", b"")
    assert process.returncode == 0
