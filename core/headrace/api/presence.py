"""`GET /v1/presence/{client_id}` and `GET /v1/presence?group=`: who is there."""

import msgspec

from headrace.api.answers import Answer, json_answer
from headrace.api.auth import query_value
from headrace.api.describe import ClientId, Doc, GroupName, Parameter, Reply
from headrace.api.routing import Access, Call, Route
from headrace.errors import RequestError
from headrace.hub import Hub
from headrace.names import check_client_id, check_group


class ClientPresence(msgspec.Struct, frozen=True):
    """Whether a client is there, since when (seconds since the epoch), with how many sessions.

    For the grace after its last session a client is still online, with none.
    """

    client_id: ClientId
    online: bool
    since: float | None
    sessions: int


class GroupPresence(msgspec.Struct, frozen=True):
    """The clients of a group that have a session, and how many they are."""

    group: GroupName
    count: int
    clients: tuple[ClientPresence, ...]


async def client_presence(call: Call) -> Answer:
    """Answer for one client; one that was never there is offline, which is no error."""
    hub = call.node.hub
    client_id = call.params["client_id"]
    check_client_id(client_id, hub.settings.client_id_max_bytes)
    return json_answer(_presence_of(hub, client_id))


async def group_presence(call: Call) -> Answer:
    """Answer for the clients of a group; RequestError (400) where none is named."""
    hub = call.node.hub
    group = query_value(call.request, "group")
    if group is None:
        raise RequestError(400, "name the group: `?group=…`, percent-encoded")
    check_group(group)
    clients = tuple([_presence_of(hub, client_id) for client_id in hub.roster.members(group)])
    return json_answer(GroupPresence(group, len(clients), clients))


def _presence_of(hub: Hub, client_id: str) -> ClientPresence:
    since = hub.presence.since(client_id)
    channel = hub.roster.channels.get(client_id)
    sessions = len(channel.sessions) if channel is not None else 0
    return ClientPresence(client_id, since is not None, since, sessions)


_CLIENT = Doc((Reply(200, "Whether the client is there.", ClientPresence),))
_GROUP = Doc(
    (Reply(200, "Who of the group is there.", GroupPresence),),
    (Parameter("group", "The group.", GroupName, required=True),),
)

ROUTES = (
    Route("GET", "/v1/presence/{client_id}", Access.APPLICATION, client_presence, doc=_CLIENT),
    Route("GET", "/v1/presence", Access.APPLICATION, group_presence, doc=_GROUP),
)
