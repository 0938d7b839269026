"""Chat rooms: an application and Headrace in one asyncio process.

A room is a group. The page says what it wants with `channel.send`, and all that it shows comes
through its channel, in one order: who is in the room, what was said before, what is said now.
"""

import asyncio
import os
import signal
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import Annotated

import msgspec

from headrace.api.auth import bearer
from headrace.application import UpdateMessage
from headrace.entries import Entry, Join, Leave
from headrace.errors import RequestError
from headrace.server import Access, Answer, Call, Callbacks, Route, Server, json_answer
from headrace.settings import Settings

ROOMS = ("Mill pond", "Workshop", "Kitchen")  # they stay; others end when the last one leaves
LINES_KEPT = 50

Name = Annotated[str, msgspec.Meta(pattern=r"^\S(.{0,28}\S)?$")]
Text = Annotated[str, msgspec.Meta(pattern=r"\S", max_length=2000)]


class AtTheDoor(msgspec.Struct):
    name: Name


class Enter(msgspec.Struct, tag="enter"):
    room: Name | None  # None: any


class Say(msgspec.Struct, tag="say"):
    room: Name
    text: Text


class Room:
    def __init__(self) -> None:
        self.people: dict[str, None] = {}  # client IDs, in the order in which they came
        self.lines: deque[dict[str, object]] = deque(maxlen=LINES_KEPT)


class Chat:
    """The rooms, and the server on which they are."""

    def __init__(self, settings: Settings) -> None:
        self.rooms = {name: Room() for name in ROOMS}
        self.where: dict[str, str | None] = {}  # the room of each client that is connected
        self.server = Server(
            settings,
            application=Callbacks(
                connected=self.connected, disconnected=self.disconnected, message=self.hear
            ),
            routes=[
                Route("POST", "/door", Access.CLIENT, self.open_door, AtTheDoor),
                file("/", "index.html", "text/html"),
                file("/chat.js", "chat.js", "text/javascript"),
                file("/style.css", "style.css", "text/css"),
            ],
        )

    async def open_door(self, call: Call) -> Answer:
        """Give a token to whoever says a name; one who shows an earlier token stays the same."""
        earlier = bearer(call.request)
        client_id = call.node.verify(earlier).sub if earlier else f"{call.body.name}/{token_hex(4)}"
        return json_answer({"client_id": client_id, "token": call.node.mint(client_id).token})

    # --- what Headrace calls: for each client in the order in which things happened ---------------

    def connected(self, client_id: str) -> None:
        self.where[client_id] = None

    async def disconnected(self, client_id: str) -> None:
        await self.leave(client_id)
        del self.where[client_id]

    async def hear(self, message: UpdateMessage) -> None:
        """Do what a page asks; what is raised here, its `send()` is told."""
        try:
            asked = msgspec.json.decode(message.data, type=Enter | Say)
        except msgspec.DecodeError as error:
            raise RequestError(400, f"that cannot be: {error}") from None
        if message.sender not in self.where:
            raise RequestError(409, "connect first")
        if isinstance(asked, Enter):
            await self.enter(message.sender, asked.room or ROOMS[0])
        else:
            await self.say(message.sender, asked.room, asked.text)

    # --- the rooms -----------------------------------------------------------------------------

    async def enter(self, client_id: str, name: str) -> None:
        """Show a room to a client; one that was elsewhere leaves there."""
        is_new = self.where[client_id] != name
        if is_new:
            await self.leave(client_id)
            self.where[client_id] = name
            self.rooms.setdefault(name, Room()).people[client_id] = None
            await self.server.hub.publish(Join(client_id, name, self.server.clocks.unix()))
        room = self.rooms[name]
        view = {"room": name, "lines": [*room.lines], "people": [*room.people]}
        await self.publish(view, to=(client_id,))
        if is_new:
            await self.publish({"came": client_id, "people": [*room.people]}, group=name)
        await self.tell_counts()

    async def leave(self, client_id: str) -> None:
        name = self.where[client_id]
        if name is None:
            return
        self.where[client_id] = None
        room = self.rooms[name]
        del room.people[client_id]
        await self.server.hub.publish(Leave(client_id, name, self.server.clocks.unix()))
        await self.publish({"left": client_id, "people": [*room.people]}, group=name)
        if not room.people and name not in ROOMS:
            del self.rooms[name]
        await self.tell_counts()

    async def say(self, client_id: str, name: str, text: str) -> None:
        if self.where[client_id] != name:  # it was away for too long, and wrote in the meantime
            await self.enter(client_id, name)
        line = {"by": client_id, "text": text, "at": self.server.clocks.unix()}
        self.rooms[name].lines.append(line)
        await self.publish({"line": line}, group=name)

    async def tell_counts(self) -> None:
        counts = [[name, len(room.people)] for name, room in self.rooms.items()]
        await self.publish({"rooms": counts}, everyone=True)

    async def publish(
        self,
        message: Mapping[str, object],
        *,
        to: tuple[str, ...] = (),
        group: str | None = None,
        everyone: bool = False,
    ) -> None:
        data = msgspec.json.encode(message).decode()
        await self.server.hub.publish(Entry(data=data, to=to, group=group, everyone=everyone))


def file(path: str, name: str, kind: str) -> Route:
    """Return a route that serves a file of static/."""
    body = (Path(__file__).parent / "static" / name).read_bytes()
    headers = (("content-type", f"{kind}; charset=utf-8"), ("cache-control", "no-cache"))

    async def handler(_: Call) -> Answer:
        return Answer(200, headers, body)

    return Route("GET", path, Access.OPEN, handler)


async def main() -> None:
    environ = os.environ
    chat = Chat(
        Settings(
            host=environ.get("HOST", "127.0.0.1"),
            port=int(environ.get("PORT", "8000")),
            secrets=(environ.get("HEADRACE_SECRET") or token_urlsafe(32),),
        )
    )
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await chat.server.start()
    print(f"Open {chat.server.url}/ in two tabs", flush=True)
    await stopped.wait()
    await chat.server.stop()


if __name__ == "__main__":
    asyncio.run(main())
