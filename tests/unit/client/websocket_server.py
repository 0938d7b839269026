"""A WebSocket server for the listener's tests, made with aiohttp."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer

from headrace.client import Listener, ListenerEvent, Message

Script = Callable[[web.WebSocketResponse], Awaitable[None]]
"""What the server does on one connection."""


def sends(*frames: dict[str, Any] | str, close: int = 1000) -> Script:
    """Send these frames, then close."""

    async def script(websocket: web.WebSocketResponse) -> None:
        for frame in frames:
            await websocket.send_str(frame if isinstance(frame, str) else json.dumps(frame))
        await websocket.close(code=close)

    return script


def opened(at: str = "1-0", recovered: bool | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "open", "id": at, "recovered": recovered, "ping_interval": 25, **more}


def message(id_: str, data: str = "") -> dict[str, Any]:
    return {"id": id_, "data": data or f"data {id_}"}


def token(**claims: object) -> str:
    return jwt.encode({"sub": "alice", "exp": time.time() + 60, **claims}, "x" * 32)


class WebSocketServer:
    """Runs one script or sends one response for each connection; records what a listener does."""

    def __init__(self) -> None:
        self.scripts: list[Script | web.Response] = []
        self.last_ids: list[str | None] = []
        self.since: list[str | None] = []
        self.tokens: list[str] = []
        self.messages: list[Message] = []
        self.events: list[ListenerEvent] = []
        self.transport: asyncio.Transport | None = None
        self.new_tokens = iter(["first", "second", "third"])
        app = web.Application()
        app.router.add_get("/base/v1/connect", self._connect)
        self.server = TestServer(app)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Host"] == f"127.0.0.1:{self.server.port}"
        protocol, token_protocol = request.headers["Sec-WebSocket-Protocol"].split(", ")
        assert protocol == "headrace.v1"
        self.tokens.append(token_protocol.removeprefix("headrace.token."))
        self.last_ids.append(request.query.get("last_id"))
        self.since.append(request.query.get("since"))
        script = self.scripts.pop(0)
        if isinstance(script, web.Response):
            return script
        self.transport = request.transport
        # Without autoping, a script receives the pongs of the client.
        websocket = web.WebSocketResponse(protocols=["headrace.v1"], autoping=False)
        await websocket.prepare(request)
        await script(websocket)
        return websocket

    def aborts(self, *frames: dict[str, Any]) -> Script:
        """Send these frames, then abort the connection."""

        async def script(websocket: web.WebSocketResponse) -> None:
            for frame in frames:
                await websocket.send_str(json.dumps(frame))
            assert self.transport is not None
            self.transport.abort()

        return script

    async def fetch_token(self) -> str:
        return next(self.new_tokens)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/base"))

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events]

    async def run(self, *scripts: Script | web.Response) -> list[str]:
        """Run a listener until its iteration ends; return the ids of the messages."""
        self.scripts += scripts
        async with asyncio.timeout(20), self.listener() as messages:
            async for message in messages:
                self.messages.append(message)
        assert not self.scripts
        return [message.id for message in self.messages]

    def listener(self, **options: Any) -> Listener:
        """Return a listener that reconnects without waiting."""
        defaults = {"on_event": self.events.append, "jitter": lambda: 0.0}
        return Listener(self.url, self.fetch_token, **{**defaults, **options})
