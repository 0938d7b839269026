"""`PUT` and `DELETE /v1/groups/{group}/members/{client_id}`: the application's word on groups."""

import msgspec

from headrace.api.answers import Answer, json_answer
from headrace.api.describe import ClientId, Doc, GroupName, Reply
from headrace.api.routing import Access, Call, Route
from headrace.entries import Join, Leave

_MEMBER = "/v1/groups/{group}/members/{client_id}"


class MembershipAnswer(msgspec.Struct, frozen=True):
    """What holds now, and for how many open sessions."""

    group: GroupName
    client_id: ClientId
    member: bool
    sessions: int


async def join(call: Call) -> Answer:
    """Put a client into a group, connected or not; it stays until it is taken out."""
    return await _change(call, Join)


async def leave(call: Call) -> Answer:
    """Take a client out of a group at once, also where its token claims the group."""
    return await _change(call, Leave)


async def _change(call: Call, kind: type[Join | Leave]) -> Answer:
    hub = call.node.hub
    group, client_id = call.params["group"], call.params["client_id"]
    await hub.publish(kind(client_id, group, hub.clocks.unix()))
    channel = hub.roster.channels.get(client_id)
    sessions = len(channel.sessions) if channel is not None else 0
    return json_answer(MembershipAnswer(group, client_id, kind is Join, sessions))


_DOC = Doc((Reply(200, "What holds now.", MembershipAnswer),))

ROUTES = (
    Route("PUT", _MEMBER, Access.APPLICATION, join, doc=_DOC),
    Route("DELETE", _MEMBER, Access.APPLICATION, leave, doc=_DOC),
)
