"""The demo's own application: whoever gives a name may join the room.

It is what an application does with Headrace, in one route: it knows its user, mints a token for a
client ID, puts the client into a group and lets it send there. Only with `--demo`, or on a server
that was started without any configuration.
"""

from secrets import token_hex

import msgspec

from headrace.api.answers import Answer, json_answer
from headrace.api.auth import bearer
from headrace.api.channels import ChannelAnswer
from headrace.api.pages import DEMO_ROUTES
from headrace.api.routing import Access, Call, Route
from headrace.errors import RequestError
from headrace.roster import keys_of

ROOM = "demo"
NAME_MAX_CHARACTERS = 40


class JoinRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name to be seen under."""

    name: str


async def join(call: Call) -> Answer:
    """Mint a token for the room; RequestError (400) for a name that is empty or too long.

    A newcomer is given what the history still has of the room. A request that bears an earlier
    token keeps that one's client ID: so a page renews its token.
    """
    asked: JoinRequest = call.body
    name = asked.name.strip()
    if not 1 <= len(name) <= NAME_MAX_CHARACTERS:
        raise RequestError(
            400, f"a name has 1 to {NAME_MAX_CHARACTERS} characters; this one has {len(name)}"
        )
    hub, signer = call.node.hub, call.node.signer
    now = hub.clocks.unix()
    earlier = bearer(call.request)
    client_id = call.node.verify(earlier).sub if earlier else f"{name}/{token_hex(8)}"
    minted = signer.mint(
        client_id,
        now=now,
        groups=[ROOM],
        send=[f"group:{ROOM}"],
        pos=None if earlier else str(hub.history.floor_of(keys_of(client_id, [ROOM]))),
    )
    return json_answer(ChannelAnswer(minted.token, client_id, minted.expires_at))


ROUTES = (*DEMO_ROUTES, Route("POST", "/demo/join", Access.CLIENT, join, JoinRequest))
