"""A whiteboard: cursors and unfinished strokes go from page to page, finished ones through here.

Each board has two groups. The pages send to `live/<board>` themselves, as the `send` claim of their
tokens allows: this costs the application nothing, and nothing of it is kept. A page sends a
finished stroke to the application, which keeps it for people who join later, and sends it to
`board/<board>`, where pages may not send.
"""

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from random import choice
from secrets import token_hex
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from headrace.client import AsyncClient

BOARDS_MAX = 1000  # over a limit, the oldest is removed
STROKES_MAX = 2000
PEOPLE_MAX = 1000
STATIC = Path(__file__).parent / "static"
FIRST = ("Amber", "Brisk", "Clear", "Gentle", "Keen", "Mossy", "Nimble", "Patient", "Quiet")
LAST = ("Alder", "Dipper", "Heron", "Minnow", "Newt", "Otter", "Reed", "Trout", "Willow")

Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-z]{4,20}$")]
Coordinate = Annotated[int, msgspec.Meta(ge=0, le=4000)]


class Stroke(msgspec.Struct, tag="stroke", kw_only=True):
    """A finished stroke: x, y, x, y, … in 4000ths of the board's side."""

    id: Id
    pen: Annotated[int, msgspec.Meta(ge=0, le=5)]
    points: Annotated[list[Coordinate], msgspec.Meta(min_length=2, max_length=2000)]
    author: str = ""  # overwritten here: a page could name anybody


class Undo(msgspec.Struct, tag="undo"):
    id: Id


class Clear(msgspec.Struct, tag="clear"):
    pass


class Board:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # changes are sent in the order in which they are made
        self.strokes: dict[str, Stroke] = {}
        self.people: dict[str, dict[str, str | int]] = {}  # all who have joined, by client ID
        self.online: dict[str, None] = {}  # the client IDs that are connected

    def change(self, change: Stroke | Undo | Clear, author: str) -> bool:
        """Apply a change of a person; return False if it has no effect."""
        if isinstance(change, Clear):
            self.strokes.clear()
        elif isinstance(change, Undo):
            if change.id not in self.strokes or self.strokes[change.id].author != author:
                return False
            del self.strokes[change.id]
        else:
            if change.id in self.strokes:
                return False
            change.author = author
            self.strokes[change.id] = change
            remove_oldest(self.strokes, STROKES_MAX)
        return True

    def online_people(self) -> list[dict[str, str | int]]:
        return [self.people[client_id] for client_id in self.online if client_id in self.people]


def remove_oldest(entries: dict[str, Any], max_count: int) -> None:
    """Remove the oldest entry if there are more than `max_count`."""
    if len(entries) > max_count:
        del entries[next(iter(entries))]


boards: dict[str, Board] = {}
client_key = web.AppKey("client", AsyncClient)
routes = web.RouteTableDef()
routes.static("/static", STATIC)


# --- routes for the page --------------------------------------------------------------------------


@routes.get("/")
async def new_board(_: web.Request) -> web.Response:
    raise web.HTTPFound(f"/{token_hex(4)}")


@routes.get("/{board:[0-9a-z]{4,20}}")
async def page(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


@routes.post("/{board:[0-9a-z]{4,20}}/join")
async def join(request: web.Request) -> web.Response:
    """Return a token and the board's content. A known client ID in the request is kept."""
    name = request.match_info["board"]
    board = boards.setdefault(name, Board())
    remove_oldest(boards, BOARDS_MAX)
    client_id = (await request.json()).get("client_id")
    if client_id not in board.people:
        client_id = f"{name}/{token_hex(16)}"  # only its own page knows it; others know `id`
        board.people[client_id] = {
            "id": token_hex(4),
            "name": f"{choice(FIRST)} {choice(LAST)}",
            "hue": len(board.people) * 137 % 360,  # consecutive hues differ
        }
        remove_oldest(board.people, PEOPLE_MAX)
    channel = await request.app[client_key].create_channel(
        client_id,
        groups=[f"board/{name}", f"live/{name}"],
        send=[f"group:live/{name}"],
    )
    response = {  # read after the token was created: the channel delivers what comes later
        "url": os.environ["HEADRACE_URL"],
        "token": channel.token,
        "client_id": client_id,
        "me": board.people[client_id],
        "people": board.online_people(),
        "strokes": [*board.strokes.values()],
    }
    return web.Response(body=msgspec.json.encode(response), content_type="application/json")


# --- routes for Headrace, which signs its requests ------------------------------------------------

# The key is the secret's bytes; the library expects them in base64.
webhook = Webhook(b64encode(os.environ["HEADRACE_SECRET"].encode()).decode())


async def verified_body(request: web.Request) -> str:
    """Return the body of a request from Headrace; respond with 401 if the signature is wrong."""
    body = await request.text()
    try:
        webhook.verify(body, dict(request.headers), json_parse=False)
    except WebhookVerificationError:
        raise web.HTTPUnauthorized from None
    return body


async def send_to_board(request: web.Request, name: str, message: Any) -> None:
    data = msgspec.json.encode(message).decode()
    await request.app[client_key].send(data, group=f"board/{name}")


@routes.post("/_ah/channel/{event:connected|disconnected}/")
async def presence(request: web.Request) -> web.Response:
    client_id = parse_qs(await verified_body(request))["from"][0]
    name = client_id.partition("/")[0]
    board = boards.get(name)
    if board is not None and client_id in board.people:
        async with board.lock:
            board.online.pop(client_id, None)
            if request.match_info["event"] == "connected":
                board.online[client_id] = None
            people = {"type": "people", "people": board.online_people()}
            await send_to_board(request, name, people)
    return web.Response(status=204)


@routes.post("/_ah/channel/message/")
async def message(request: web.Request) -> web.Response:
    received = msgspec.json.decode(await verified_body(request))
    sender = received["from"]
    name = sender.partition("/")[0]
    board = boards.get(name)
    try:
        change = msgspec.json.decode(received["data"], type=Stroke | Undo | Clear)
    except msgspec.DecodeError:
        board = None  # an invalid message is ignored
    if board is not None and sender in board.people:
        async with board.lock:
            if board.change(change, str(board.people[sender]["id"])):
                await send_to_board(request, name, change)
    return web.Response(status=204)


async def create_client(app: web.Application) -> AsyncIterator[None]:
    """Create the client of the server at HEADRACE_URL, and close it at the end."""
    async with AsyncClient() as client:
        app[client_key] = client
        yield


app = web.Application()
app.add_routes(routes)
app.cleanup_ctx.append(create_client)

if __name__ == "__main__":
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    hint = f"Open http://{host}:{port}/ in two windows, and draw"
    web.run_app(app, host=host, port=port, print=lambda _: print(hint, flush=True))
