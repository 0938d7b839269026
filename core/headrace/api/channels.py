"""`/v1/channels`: a channel for a client, the token that opens it, and its end."""

import math

import msgspec

from headrace import limits
from headrace.api.answers import Answer, json_answer
from headrace.api.describe import (
    AtMostGrants,
    AtMostGroups,
    ClientId,
    Doc,
    Minutes,
    Reply,
    Token,
)
from headrace.api.routing import Access, Call, Route
from headrace.entries import Revoke
from headrace.errors import RequestError


class ChannelRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the channel is for, how long its token lasts, and what the token allows."""

    client_id: ClientId
    duration_minutes: Minutes = limits.TOKEN_DEFAULT_MINUTES
    groups: AtMostGroups = ()
    send: AtMostGrants = ()


class ChannelAnswer(msgspec.Struct, frozen=True):
    """The token, a secret of that client's, and when it expires, in seconds since the epoch."""

    token: Token
    client_id: ClientId
    expires_at: float


async def create_channel(call: Call) -> Answer:
    """Mint a token that starts at the newest id, so that nothing sent from now on is lost."""
    asked: ChannelRequest = call.body
    minutes = asked.duration_minutes
    if minutes != int(minutes):
        raise RequestError(400, f"duration_minutes is {minutes}; it must be a whole number")
    minted = call.node.mint(asked.client_id, int(minutes), asked.groups, asked.send)
    return json_answer(ChannelAnswer(minted.token, asked.client_id, minted.expires_at))


class RevokeAnswer(msgspec.Struct, frozen=True):
    """How many open sessions were closed, with 4003."""

    client_id: ClientId
    sessions: int


async def revoke_channel(call: Call) -> Answer:
    """Close a client's sessions and revoke its tokens issued so far; a newer one opens it again."""
    hub = call.node.hub
    client_id = call.params["client_id"]
    channel = hub.roster.channels.get(client_id)
    sessions = channel.sessions.copy() if channel is not None else []
    # Whoever signs tokens may have a clock ahead of ours: what is in use now is not to survive.
    moments = [hub.clocks.unix(), *[each.claims.iat or 0.0 for each in sessions]]
    await hub.publish(Revoke(client_id, math.ceil(max(moments) * 1000) / 1000))
    return json_answer(RevokeAnswer(client_id, len(sessions)))


_CREATE = Doc(
    (Reply(200, "The client's token.", ChannelAnswer),),
    text=f"Groups and grants are in the token, which is at most {limits.TOKEN_MAX_BYTES} bytes"
    " long.",
    example={"client_id": "alice", "groups": ["lobby"], "send": ["group:lobby"]},
)
_REVOKE = Doc((Reply(200, "How many sessions were closed.", RevokeAnswer),))

ROUTES = (
    Route("POST", "/v1/channels", Access.APPLICATION, create_channel, ChannelRequest, doc=_CREATE),
    Route("DELETE", "/v1/channels/{client_id}", Access.APPLICATION, revoke_channel, doc=_REVOKE),
)
