"""`/v1/channels`: a channel for a client, the token that opens it, and its end."""

import math

import msgspec

from headrace import limits
from headrace.api.answers import Answer, json_answer
from headrace.api.routing import Access, Call, Route
from headrace.entries import Revoke


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
    minted = call.node.mint(asked.client_id, asked.duration_minutes, asked.groups, asked.send)
    return json_answer(ChannelAnswer(minted.token, asked.client_id, minted.expires_at))


class RevokeAnswer(msgspec.Struct, frozen=True):
    """How many open sessions were closed, with 4003."""

    client_id: str
    sessions: int


async def revoke_channel(call: Call) -> Answer:
    """Close a client's sessions and revoke its tokens issued so far; a newer one opens it again."""
    hub = call.node.hub
    client_id = call.params["client_id"]
    channel = hub.roster.channels.get(client_id)
    sessions = len(channel.sessions) if channel is not None else 0
    await hub.publish(Revoke(client_id, math.ceil(hub.clocks.unix() * 1000) / 1000))
    return json_answer(RevokeAnswer(client_id, sessions))


ROUTES = (
    Route("POST", "/v1/channels", Access.APPLICATION, create_channel, ChannelRequest),
    Route("DELETE", "/v1/channels/{client_id}", Access.APPLICATION, revoke_channel),
)
