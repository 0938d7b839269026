"""A small web application that receives webhooks, checks their signatures, and can be down."""

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
from tests.helpers.site import SECRET, Json

CONNECTED, DISCONNECTED, MESSAGE = "connected", "disconnected", "message"


class Post(NamedTuple):
    """A POST request from Headrace, and the status of its response."""

    kind: str
    body: bytes
    headers: dict[str, str]
    status: int

    @property
    def client_id(self) -> str:
        """The client ID in a presence notice."""
        form = parse_qs(self.body.decode("ascii"), strict_parsing=True)
        assert list(form) == ["from"]
        return form["from"][0]

    @property
    def json(self) -> Json:
        decoded: Json = msgspec.json.decode(self.body)
        return decoded


class FakeApplication:
    """Verifies each request with every secret, and responds with the status from `respond`."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.secrets = [SECRET]
        self.respond: Callable[[str, str], Awaitable[int] | int] = lambda kind, body: 200
        self.headers: dict[str, str] = {}
        self.in_flight = self.max_in_flight = 0
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.router.add_post("/_ah/channel/{kind}/", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening: connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- received requests ---------------------------------------------------------------------

    def accepted(self, *kinds: str) -> list[Post]:
        """Return the requests of these kinds that got a 2xx response."""
        return [post for post in self.posts if post.kind in kinds and post.status // 100 == 2]

    @property
    def notices(self) -> list[tuple[str, str]]:
        """Kind and client ID of each accepted presence notice."""
        return [(post.kind, post.client_id) for post in self.accepted(CONNECTED, DISCONNECTED)]

    def notices_of(self, client_id: str) -> list[str]:
        return [kind for kind, client in self.notices if client == client_id]

    @property
    def messages(self) -> list[Json]:
        return [post.json for post in self.accepted(MESSAGE)]

    async def wait_until(self, condition: Callable[[], object], timeout_s: float = 30) -> None:
        """Wait until `condition()` is true; it is called at each request and each response."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def wait_for_notices(self, *notices: tuple[str, str]) -> None:
        """Wait for this many notices, and check that they are these."""
        await self.wait_until(lambda: len(self.notices) >= len(notices))
        assert self.notices == list(notices)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        for secret in self.secrets:
            verifier = Webhook("whsec_" + b64encode(secret.encode()).decode())
            verifier.verify(body, headers, json_parse=False)
        kind = request.match_info["kind"]
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self._changed.set()
        try:
            status = self.respond(kind, body.decode())
            if not isinstance(status, int):
                status = await status
        finally:
            self.in_flight -= 1
        self.posts.append(Post(kind, body, headers, status))
        self._changed.set()
        return web.Response(status=status, headers=self.headers)


@asynccontextmanager
async def running_application() -> AsyncIterator[FakeApplication]:
    """Run a `FakeApplication` on a free port."""
    application = FakeApplication()
    await application.start()
    try:
        yield application
    finally:
        await application.stop()
