"""`PUT` and `DELETE /v1/groups/{group}/members/{client_id}`: join and leave."""

from typing import Final

from headrace.api.openapi.operation import OperationDoc, ResponseDoc
from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.messages.wire import MembershipResponse

_MEMBER: Final = "/v1/groups/{group}/members/{client_id}"


async def join(request: Request) -> Response:
    """Add a client, connected or not, to a group until it leaves."""
    group, client_id = request.params["group"], request.params["client_id"]
    sessions = await request.hub.join(client_id, group)
    return Response.json(MembershipResponse(group, client_id, True, sessions))


async def leave(request: Request) -> Response:
    """Remove a client from a group at once, even if its token claims the group."""
    group, client_id = request.params["group"], request.params["client_id"]
    sessions = await request.hub.leave(client_id, group)
    return Response.json(MembershipResponse(group, client_id, False, sessions))


_DOC = OperationDoc((ResponseDoc(200, "The client's membership.", MembershipResponse),))

ROUTES = (
    Route("PUT", _MEMBER, join, access="application", doc=_DOC),
    Route("DELETE", _MEMBER, leave, access="application", doc=_DOC),
)
