"""docs/application.md: its code as it is written, its grants and its numbers."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from standardwebhooks import WebhookVerificationError
from tests.server.application import CAME, running_application
from tests.server.kit import SECRET, Site, opened, recv

from headrace import limits
from headrace.entries import Entry
from headrace.grants import covers
from headrace.presence import Change
from headrace.settings import Settings
from headrace.webhooks import Webhooks

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

DOCUMENT = (Path(__file__).parents[2] / "docs" / "application.md").read_text()
VERIFYING, EMBEDDING = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


async def test_the_embedding_example() -> None:
    environ = {**os.environ, "HEADRACE_SECRET": SECRET, "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EMBEDDING, env=environ, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    url, token = (await process.stdout.readline()).decode().split()
    async with aiohttp.ClientSession() as http:
        site = Site(url, http)
        async with site.connect(token) as client:
            await opened(client)
            assert (await recv(client))["data"] == "Hello, ada"
            status, _, _ = await site.post("/v1/messages", {"data": "hi", "group": "g"}, key=token)
            assert status == 202
    heard = (await process.stdout.readline()).decode()
    assert heard == "UpdateMessage(sender='ada', data='hi', to=(), group='g')\n"
    process.kill()
    assert await process.communicate() == (b"", b"")


async def test_verifying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET", SECRET)
    names: dict[str, Any] = {}
    exec(VERIFYING, names)
    async with running_application() as application:
        webhooks = Webhooks(application.url, [SECRET])
        webhooks.presence_changed(Change("Zoë & co/+", connected=True))
        await application.until_told((CAME, "Zoë & co/+"))
        await webhooks.aclose()
    post = application.posts[0]
    assert names["client_of"](post.body, post.headers) == "Zoë & co/+"
    with pytest.raises(WebhookVerificationError):
        names["client_of"](post.body + b"x", post.headers)


@pytest.mark.parametrize(
    ("grant", "group"), [("group:lobby", "lobby"), ("group:game-*", "game-7"), (r"group:\*", "*")]
)
async def test_the_grants(grant: str, group: str) -> None:
    assert f"| `{grant}` |" in DOCUMENT
    assert covers([grant], Entry(data="", group=group))
    assert not covers([grant], Entry(data="", group="another"))


async def test_the_numbers() -> None:
    assert Settings().presence_grace_s == 2
    assert limits.NOTICES_AT_A_TIME == 16
    assert limits.NOTICE_TIMEOUT_S == 10
    assert (limits.NOTICE_WAIT_FIRST_S, limits.NOTICE_WAIT_MAX_S) == (0.25, 10)
    assert limits.PROBE_WAIT_MAX_S == 2
    assert limits.NOTICES_MAX_COUNT == 100_000
    assert (limits.CLIENT_MESSAGES_PER_S, limits.CLIENT_MESSAGES_BURST) == (100, 200)
