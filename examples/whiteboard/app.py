"""A whiteboard: cursors and half-drawn strokes go from page to page, finished ones through here.

Each board has two groups. In `live/<board>` the pages send to each other, as their tokens' `send`
claim allows: that is fast, costs this application nothing, and nothing of it is kept. A finished
stroke is sent to the application, which keeps it for those who come later, and sends it to
`board/<board>`, where nobody else may send.
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

BOARDS_MAX = 1000  # of each of these the oldest goes first
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
    who: str = ""  # set here, never believed


class Undo(msgspec.Struct, tag="undo"):
    id: Id


class Clear(msgspec.Struct, tag="clear"):
    pass


class Board:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # what is changed first is sent first
        self.strokes: dict[str, Stroke] = {}
        self.people: dict[str, dict[str, str | int]] = {}  # all that have joined, by client ID
        self.present: dict[str, None] = {}  # client IDs of those that are connected

    def change(self, asked: Stroke | Undo | Clear, who: str) -> bool:
        """Do what somebody asks; return whether there is anything to tell."""
        if isinstance(asked, Clear):
            self.strokes.clear()
        elif isinstance(asked, Undo):
            if asked.id not in self.strokes or self.strokes[asked.id].who != who:
                return False
            del self.strokes[asked.id]
        else:
            if asked.id in self.strokes:
                return False
            asked.who = who
            self.strokes[asked.id] = asked
            bound(self.strokes, STROKES_MAX)
        return True

    def who_is_here(self) -> list[dict[str, str | int]]:
        return [self.people[each] for each in self.present if each in self.people]


def bound(entries: dict[str, Any], count: int) -> None:
    if len(entries) > count:
        del entries[next(iter(entries))]


boards: dict[str, Board] = {}
channels = web.AppKey("channels", AsyncClient)
routes = web.RouteTableDef()
routes.static("/static", STATIC)


# --- for the page ---------------------------------------------------------------------------------


@routes.get("/")
async def new(_: web.Request) -> web.Response:
    raise web.HTTPFound(f"/{token_hex(4)}")


@routes.get("/{board:[0-9a-z]{4,20}}")
async def page(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


@routes.post("/{board:[0-9a-z]{4,20}}/join")
async def join(request: web.Request) -> web.Response:
    """Give a token, and the board as it is; whoever shows its client ID keeps it."""
    name = request.match_info["board"]
    board = boards.setdefault(name, Board())
    bound(boards, BOARDS_MAX)
    client_id = (await request.json()).get("client_id")
    if client_id not in board.people:
        client_id = f"{name}/{token_hex(16)}"  # known to its page alone; others see `who`
        board.people[client_id] = {
            "who": token_hex(4),
            "name": f"{choice(FIRST)} {choice(LAST)}",
            "hue": len(board.people) * 137 % 360,  # neighbours differ
        }
        bound(board.people, PEOPLE_MAX)
    channel = await request.app[channels].create_channel(
        client_id,
        groups=[f"board/{name}", f"live/{name}"],
        send=[f"group:live/{name}"],
    )
    answer = {  # made after the token, which begins where this ends
        "url": os.environ["HEADRACE_URL"],
        "token": channel.token,
        "client_id": client_id,
        "me": board.people[client_id],
        "people": board.who_is_here(),
        "strokes": [*board.strokes.values()],
    }
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


# --- for Headrace, which signs what it says -------------------------------------------------------

# A secret's bytes are the key; the library wants them in base64.
webhook = Webhook(b64encode(os.environ["HEADRACE_SECRET"].encode()).decode())


async def signed(request: web.Request) -> str:
    """Return the body, once its signature is found to be Headrace's."""
    body = await request.text()
    try:
        webhook.verify(body, dict(request.headers), json_parse=False)
    except WebhookVerificationError:
        raise web.HTTPUnauthorized from None
    return body


async def tell(request: web.Request, name: str, what: Any) -> None:
    data = msgspec.json.encode(what).decode()
    await request.app[channels].send(data, group=f"board/{name}")


@routes.post("/_ah/channel/{event:connected|disconnected}/")
async def presence(request: web.Request) -> web.Response:
    client_id = parse_qs(await signed(request))["from"][0]
    name = client_id.partition("/")[0]
    board = boards.get(name)
    if board is not None and client_id in board.people:
        async with board.lock:
            board.present.pop(client_id, None)
            if request.match_info["event"] == "connected":
                board.present[client_id] = None
            await tell(request, name, {"type": "people", "people": board.who_is_here()})
    return web.Response(status=204)


@routes.post("/_ah/channel/message/")
async def message(request: web.Request) -> web.Response:
    sent = msgspec.json.decode(await signed(request))
    name = sent["from"].partition("/")[0]
    board = boards.get(name)
    try:
        asked = msgspec.json.decode(sent["data"], type=Stroke | Undo | Clear)
    except msgspec.DecodeError:
        board = None  # nonsense is not worth an answer
    if board is not None and sent["from"] in board.people:
        async with board.lock:
            if board.change(asked, str(board.people[sent["from"]]["who"])):
                await tell(request, name, asked)
    return web.Response(status=204)


async def connect(app: web.Application) -> AsyncIterator[None]:
    """Speak to the server at HEADRACE_URL with HEADRACE_API_KEY."""
    async with AsyncClient() as client:
        app[channels] = client
        yield


app = web.Application()
app.add_routes(routes)
app.cleanup_ctx.append(connect)

if __name__ == "__main__":
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    told = f"Open http://{host}:{port}/ in two windows, and draw"
    web.run_app(app, host=host, port=port, print=lambda _: print(told, flush=True))
