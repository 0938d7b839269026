"""The demo: a chat room that anyone may join by giving a name.

It is a small application on top of Headrace: one route knows the user, creates a token for a
client ID, puts the client into a group and allows it to send there. It exists only with `--demo`,
or on a server that was started without any keys.
"""

from secrets import token_hex
from typing import Final
from urllib.parse import urlsplit

import msgspec

from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.api.routes.static_files import DEMO_ROUTES
from headrace.errors import ForbiddenError, InputError
from headrace.hub.subscriptions import history_keys
from headrace.messages.wire import ChannelResponse

ROOM: Final = "demo"
NAME_MAX_CHARACTERS: Final = 40

_BODY_MAX_BYTES: Final = 4 * 1024
"""Anyone may send it, without a token."""

_LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


class JoinRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The visitor's name."""

    name: str


async def join(request: Request) -> Response:
    """Create a token for the room; raise InputError for a name that is empty or too long.

    Raises ForbiddenError for a page of another site, see `_check_loopback_page`.

    A new visitor gets the messages of the room that are still in the history. A request with an
    earlier token keeps that token's client ID: this is how the page renews its token.
    """
    _check_loopback_page(request)
    asked: JoinRequest = request.body
    name = asked.name.strip()
    if not 1 <= len(name) <= NAME_MAX_CHARACTERS:
        raise InputError(
            f"a name has 1 to {NAME_MAX_CHARACTERS} characters; this one has {len(name)}"
        )
    hub = request.hub
    earlier = request.bearer_token
    client_id = hub.verify(earlier).sub if earlier else f"{name}/{token_hex(8)}"
    floor = hub.core.history.floor_of(history_keys(client_id, [ROOM]))
    minted = hub.signer.mint(
        client_id,
        now=hub.clocks.unix(),
        groups=[ROOM],
        send=[f"group:{ROOM}"],
        pos=None if earlier else str(floor),
    )
    return Response.json(ChannelResponse(minted.token, client_id, minted.expires_at))


def _check_loopback_page(request: Request) -> None:
    """Raise ForbiddenError for a page of another site, if the server listens on loopback only.

    An attacker's host name can resolve to this machine (DNS rebinding): the origin of the page is
    then the same as the Host header, so the usual check of the origin allows it.
    """
    settings, origin = request.context.hub.settings, request.header("origin")
    if origin is None or settings.host not in _LOOPBACK_HOSTS or settings.allowed_origins:
        return
    if urlsplit(origin).hostname not in _LOOPBACK_HOSTS:
        raise ForbiddenError(
            f"pages of {origin[:100]} may not use the demo of a server that listens on loopback;"
            " open it at http://localhost, or add that origin to allowed_origins"
        )


ROUTES = (
    *DEMO_ROUTES,
    Route(
        "POST",
        "/demo/join",
        join,
        access="client",
        body=JoinRequest,
        body_max_bytes=_BODY_MAX_BYTES,
    ),
)
