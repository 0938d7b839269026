"""`POST /v1/channels`: a channel for a client, and the token that opens it."""

import msgspec

from headrace import limits
from headrace.api.answers import Answer, json_answer
from headrace.api.routing import Access, Call, Route


class ChannelRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the channel is for, how long its token lasts, and what the token allows."""

    client_id: str
    duration_minutes: int = limits.TOKEN_DEFAULT_MINUTES
    groups: tuple[str, ...] = ()
    send: tuple[str, ...] = ()


class ChannelAnswer(msgspec.Struct, frozen=True):
    """The token, a secret of that client's, and when it expires, in seconds since the epoch."""

    token: str
    client_id: str
    expires_at: float


async def create_channel(call: Call) -> Answer:
    """Mint a token that starts at the newest id, so that nothing sent from now on is lost."""
    asked: ChannelRequest = call.body
    hub = call.node.hub
    minted = call.node.signer.mint(
        asked.client_id,
        now=hub.clocks.unix(),
        minutes=asked.duration_minutes,
        groups=asked.groups,
        send=asked.send,
        pos=str(hub.history.latest),
    )
    return json_answer(ChannelAnswer(minted.token, asked.client_id, minted.expires_at))


ROUTES = (Route("POST", "/v1/channels", Access.APPLICATION, create_channel, ChannelRequest),)
