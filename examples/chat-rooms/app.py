"""Chat rooms: an application and Headrace in one asyncio process.

A room is a group. A page sends requests with `channel.send`: to enter a room, or to add a line.
Everything that it displays comes through its channel, in one order: the people in the room, the
earlier lines, and the new ones.
"""

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import Annotated

import msgspec

from headrace import (
    Callbacks,
    ForbiddenError,
    Hub,
    InputError,
    Request,
    Response,
    Route,
    Server,
    Settings,
    UpdateMessage,
)

STATIC = Path(__file__).parent / "static"
ROOMS = ("General", "Workshop", "Kitchen")  # permanent; others are removed when they are empty
LINES_KEPT = 50

Name = Annotated[str, msgspec.Meta(pattern=r"^\S(.{0,28}\S)?$")]
Text = Annotated[str, msgspec.Meta(pattern=r"\S", max_length=2000)]


class TokenRequest(msgspec.Struct):
    name: Name


class EnterRoom(msgspec.Struct, tag="enter"):
    room: Name | None  # None: the first room


class AddLine(msgspec.Struct, tag="line"):
    room: Name
    text: Text


class Room:
    def __init__(self) -> None:
        self.people: dict[str, None] = {}  # client IDs, in the order of entering
        self.lines: deque[dict[str, object]] = deque(maxlen=LINES_KEPT)


class Chat:
    """The rooms, and the hub that connects the pages to them."""

    def __init__(self, settings: Settings) -> None:
        self.rooms = {name: Room() for name in ROOMS}
        self.room_of: dict[str, str | None] = {}  # of each connected client
        self.hub = Hub(
            settings,
            Callbacks(
                connected=self.connected, disconnected=self.disconnected, message=self.receive
            ),
        )
        self.routes = [
            Route("POST", "/token", self.create_token, access="client", body=TokenRequest),
            file_route("/", "index.html", "text/html"),
            file_route("/chat.js", "chat.js", "text/javascript"),
            file_route("/style.css", "style.css", "text/css"),
        ]

    async def create_token(self, request: Request) -> Response:
        """Return a token for a new client ID, or for that of the token in the request."""
        earlier = request.bearer_token
        if earlier:
            client_id = self.hub.verify(earlier).sub
        else:
            client_id = f"{request.body.name}/{token_hex(4)}"
        token = self.hub.create_channel(client_id).token
        return Response.json({"client_id": client_id, "token": token})

    # --- callbacks: for each client, one at a time and in the order of the events --------------

    def connected(self, client_id: str) -> None:
        self.room_of[client_id] = None

    async def disconnected(self, client_id: str) -> None:
        await self.leave(client_id)
        del self.room_of[client_id]

    async def receive(self, message: UpdateMessage) -> None:
        """Handle a message from a page; the error raised here rejects the page's `send()`."""
        try:
            request = msgspec.json.decode(message.data, type=EnterRoom | AddLine)
        except msgspec.DecodeError as error:
            raise InputError(f"invalid message: {error}") from None
        if message.sender not in self.room_of:
            raise ForbiddenError("the client is not connected; connect first")
        if isinstance(request, EnterRoom):
            await self.enter(message.sender, request.room or ROOMS[0])
        else:
            await self.add_line(message.sender, request.room, request.text)

    # --- the rooms -----------------------------------------------------------------------------

    async def enter(self, client_id: str, name: str) -> None:
        """Send a room's content to a client, which leaves the room that it was in before."""
        is_new = self.room_of[client_id] != name
        if is_new:
            await self.leave(client_id)
            self.room_of[client_id] = name
            self.rooms.setdefault(name, Room()).people[client_id] = None
            await self.hub.join(client_id, name)
        room = self.rooms[name]
        content = {"room": name, "lines": [*room.lines], "people": [*room.people]}
        await self.send(content, to=client_id)
        if is_new:
            await self.send({"entered": client_id, "people": [*room.people]}, group=name)
        await self.send_counts()

    async def leave(self, client_id: str) -> None:
        name = self.room_of[client_id]
        if name is None:
            return
        self.room_of[client_id] = None
        room = self.rooms[name]
        del room.people[client_id]
        await self.hub.leave(client_id, name)
        await self.send({"left": client_id, "people": [*room.people]}, group=name)
        if not room.people and name not in ROOMS:
            del self.rooms[name]
        await self.send_counts()

    async def add_line(self, client_id: str, name: str, text: str) -> None:
        if self.room_of[client_id] != name:  # it was disconnected for long, and sends again
            await self.enter(client_id, name)
        line = {"by": client_id, "text": text, "at": time.time()}
        self.rooms[name].lines.append(line)
        await self.send({"line": line}, group=name)

    async def send_counts(self) -> None:
        counts = [[name, len(room.people)] for name, room in self.rooms.items()]
        await self.send({"rooms": counts}, everyone=True)

    async def send(
        self,
        message: Mapping[str, object],
        *,
        to: str | tuple[str, ...] = (),
        group: str | None = None,
        everyone: bool = False,
    ) -> None:
        data = msgspec.json.encode(message).decode()
        await self.hub.send(data, to=to, group=group, everyone=everyone)


def file_route(path: str, name: str, content_type: str) -> Route:
    """Return a route that serves a file of static/."""
    body = (STATIC / name).read_bytes()
    headers = (("content-type", f"{content_type}; charset=utf-8"), ("cache-control", "no-cache"))

    async def handler(_: Request) -> Response:
        return Response(200, headers, body)

    return Route("GET", path, handler)


async def main() -> None:
    settings = Settings(
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8000")),
        secrets=(os.environ.get("HEADRACE_SECRET") or token_urlsafe(32),),
    )
    chat = Chat(settings)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with chat.hub, Server(chat.hub, routes=chat.routes) as server:
        print(f"Open {server.url}/ in two tabs", flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
