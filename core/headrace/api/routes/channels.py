"""`/v1/channels`: create a client's token, and revoke all of them."""

from headrace import limits
from headrace.api.openapi.operation import OperationDoc, ResponseDoc
from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.errors import InputError
from headrace.messages.wire import ChannelRequest, ChannelResponse, RevokeResponse


async def create_channel(request: Request) -> Response:
    """Create a token that starts at the newest id, so that no later message is missed."""
    asked: ChannelRequest = request.body
    minutes = asked.duration_minutes
    if minutes != int(minutes):
        raise InputError(f"duration_minutes is {minutes}; it must be a whole number")
    return Response.json(
        request.hub.create_channel(
            asked.client_id, duration_minutes=int(minutes), groups=asked.groups, send=asked.send
        )
    )


async def revoke_channel(request: Request) -> Response:
    """Close a client's sessions and revoke its tokens issued so far; newer tokens are valid."""
    client_id = request.params["client_id"]
    sessions = await request.hub.disconnect(client_id)
    return Response.json(RevokeResponse(client_id, sessions))


_CREATE = OperationDoc(
    (ResponseDoc(200, "The client's token.", ChannelResponse),),
    text=f"Groups and grants are stored in the token, which is at most {limits.TOKEN_MAX_BYTES}"
    " bytes long.",
    example={"client_id": "alice", "groups": ["lobby"], "send": ["group:lobby"]},
)
_REVOKE = OperationDoc((ResponseDoc(200, "The number of closed sessions.", RevokeResponse),))

ROUTES = (
    Route(
        "POST",
        "/v1/channels",
        create_channel,
        access="application",
        body=ChannelRequest,
        doc=_CREATE,
    ),
    Route("DELETE", "/v1/channels/{client_id}", revoke_channel, access="application", doc=_REVOKE),
)
