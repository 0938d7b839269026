"""`POST /v1/messages`: a client's update-message, to the application or to other clients."""

from headrace.api.client_messages import (
    DATA_BURST_BYTES,
    DATA_BYTES_PER_S,
    MESSAGES_BURST,
    MESSAGES_PER_S,
)
from headrace.api.credentials import verify_client
from headrace.api.openapi.operation import OperationDoc, ResponseDoc
from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.messages.wire import Accepted, MessageRequest, SendResponse


async def post_message(request: Request) -> Response:
    """Respond 200 with the id of a relayed message, 202 if the application accepted it."""
    asked: MessageRequest = request.body
    claims = verify_client(request.context, request.head)
    receipt = await request.hub.send_from_client(claims, asked.data, to=asked.to, group=asked.group)
    if receipt is None:
        return Response.json(Accepted("accepted"), 202)
    return Response.json(SendResponse(str(receipt.id), receipt.sessions))


_DOC = OperationDoc(
    (
        ResponseDoc(200, "The message was relayed, as the `send` claim allows.", SendResponse),
        ResponseDoc(202, "The application accepted the message.", Accepted),
    ),
    errors=(429,),
    summary="Send an update-message to the application, or to other clients.",
    text=f"""
        A client may send {MESSAGES_PER_S:g} messages a second, with bursts of {MESSAGES_BURST},
        and {DATA_BYTES_PER_S // 1024} KiB of data a second, with bursts of
        {DATA_BURST_BYTES // 1024} KiB.
        """,
    rule={
        "not": {
            "required": ["to", "group"],
            "properties": {
                "to": {"anyOf": [{"type": "string"}, {"minItems": 1}]},
                "group": {"type": "string"},
            },
        }
    },
    example={"data": "hello", "group": "lobby"},
)

ROUTES = (
    Route(
        "POST",
        "/v1/messages",
        post_message,
        access="client",
        body=MessageRequest,
        run_in_task=True,
        requires_token=True,
        doc=_DOC,
    ),
)
