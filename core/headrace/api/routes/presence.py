"""`GET /v1/presence/{client_id}` and `GET /v1/presence?group=`: which clients are online."""

from headrace.api.openapi.operation import OperationDoc, Parameter, ResponseDoc
from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.errors import InputError
from headrace.messages.wire import ClientPresence, GroupName, GroupPresence


async def client_presence(request: Request) -> Response:
    """Return the presence of one client; an unknown client is offline, which is no error."""
    return Response.json(await request.hub.presence(request.params["client_id"]))


async def group_presence(request: Request) -> Response:
    """Return the presence of a group's connected clients."""
    group = request.query("group")
    if group is None:
        raise InputError("name the group: `?group=…`, percent-encoded")
    return Response.json(await request.hub.presence_of_group(group))


_CLIENT = OperationDoc((ResponseDoc(200, "The client's presence.", ClientPresence),))
_GROUP = OperationDoc(
    (ResponseDoc(200, "The connected clients of the group.", GroupPresence),),
    (Parameter("group", "The group.", GroupName, required=True),),
)

ROUTES = (
    Route("GET", "/v1/presence/{client_id}", client_presence, access="application", doc=_CLIENT),
    Route("GET", "/v1/presence", group_presence, access="application", doc=_GROUP),
)
