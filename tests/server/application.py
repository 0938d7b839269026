"""A tiny application: it is told who comes and goes, gets messages, and may be down."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec
from aiohttp import web
from standardwebhooks import Webhook
from tests.server.kit import SECRET, Json

CAME, WENT, MESSAGE = "connected", "disconnected", "message"


class Post(NamedTuple):
    """One request of Headrace's, with what it was answered."""

    kind: str
    body: bytes
    headers: dict[str, str]
    status: int

    @property
    def client_id(self) -> str:
        """The client of a notice."""
        form = parse_qs(self.body.decode("ascii"), strict_parsing=True)
        assert list(form) == ["from"]
        return form["from"][0]

    @property
    def json(self) -> Json:
        decoded: Json = msgspec.json.decode(self.body)
        return decoded


class Application:
    """Every post is checked for its signature, then answered with what `answer` says."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.secrets = [SECRET]
        self.answer: Callable[[str, str], Awaitable[int] | int] = lambda kind, path: 200
        self.headers: dict[str, str] = {}
        self.under_way = self.most_under_way = 0
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.router.add_post("/_ah/channel/{kind}/", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls).start()
        self.port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Stop listening: connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- what came -----------------------------------------------------------------------------

    def taken(self, *kinds: str) -> list[Post]:
        """The posts that were answered with 2xx."""
        return [post for post in self.posts if post.kind in kinds and post.status // 100 == 2]

    @property
    def notices(self) -> list[tuple[str, str]]:
        """Kind and client of each notice that was taken."""
        return [(post.kind, post.client_id) for post in self.taken(CAME, WENT)]

    def notices_of(self, client_id: str) -> list[str]:
        return [kind for kind, client in self.notices if client == client_id]

    @property
    def messages(self) -> list[Json]:
        return [post.json for post in self.taken(MESSAGE)]

    async def until(self, condition: Callable[[], object], timeout_s: float = 30) -> None:
        """Wait until the condition holds; it is looked at whenever a post comes or is answered."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_told(self, *notices: tuple[str, str]) -> None:
        """Wait for as many notices as are named, which must be these."""
        await self.until(lambda: len(self.notices) >= len(notices))
        assert self.notices == list(notices)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        for secret in self.secrets:
            verifier = Webhook("whsec_" + b64encode(secret.encode()).decode())
            verifier.verify(body, headers, json_parse=False)
        kind = request.match_info["kind"]
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self._changed.set()
        try:
            answer = self.answer(kind, body.decode())
            status = answer if isinstance(answer, int) else await answer
        finally:
            self.under_way -= 1
        self.posts.append(Post(kind, body, headers, status))
        self._changed.set()
        return web.Response(status=status, headers=self.headers)


@asynccontextmanager
async def running_application() -> AsyncIterator[Application]:
    """Run an application."""
    application = Application()
    await application.up()
    try:
        yield application
    finally:
        await application.down()
