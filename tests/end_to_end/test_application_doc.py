"""docs/application.md: its programs as they are written, its grants, errors and numbers."""

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
from tests.helpers.application import CONNECTED, running_application
from tests.helpers.site import SECRET, Site, opened, recv

from headrace.api.client_messages import MESSAGES_BURST, MESSAGES_PER_S
from headrace.api.responses import status_of
from headrace.auth.grants import covers
from headrace.errors import (
    ForbiddenError,
    InputError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
)
from headrace.hooks import outbox, pending_notices
from headrace.hooks import webhooks as webhooks_module
from headrace.hooks.webhooks import Webhooks
from headrace.hub.presence import PresenceChange
from headrace.messages.entries import Entry
from headrace.settings import Settings

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

DOCUMENT = (Path(__file__).parents[2] / "docs" / "application.md").read_text()
VERIFICATION, EMBEDDING = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


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


async def test_the_verification_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET", SECRET)
    names: dict[str, Any] = {}
    exec(VERIFICATION, names)
    async with running_application() as application:
        webhooks = Webhooks(application.url, [SECRET])
        webhooks.presence_changed(PresenceChange("Zoë & co/+", connected=True))
        await application.wait_for_notices((CONNECTED, "Zoë & co/+"))
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


async def test_the_errors() -> None:
    for error in (
        InputError(""),
        TooLargeError(""),
        ForbiddenError(""),
        RateLimitedError("", 1),
        UnavailableError(""),
    ):
        row = rf"\| `{type(error).__name__}(\(.*\))?` \| {status_of(error)} \|"
        assert re.search(row, DOCUMENT)


async def test_the_numbers() -> None:
    assert Settings().presence_grace_s == 2
    assert Settings().notice_max_attempts == 10
    assert webhooks_module.CONCURRENT_NOTICES == 16
    assert webhooks_module.ATTEMPT_TIMEOUT_S == 10
    assert (outbox.RETRY_WAIT_FIRST_S, outbox.RETRY_WAIT_MAX_S) == (0.25, 10)
    assert outbox.PROBE_WAIT_MAX_S == 2
    assert pending_notices.NOTICES_MAX_COUNT == 100_000
    assert (MESSAGES_PER_S, MESSAGES_BURST) == (100, 200)
