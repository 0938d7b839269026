"""`POST /v1/send`: the application sends to clients, a group or everyone."""

from headrace.api.openapi.operation import OperationDoc, ResponseDoc
from headrace.api.responses import JSON, Response, encode_json
from headrace.api.router import Request, Route
from headrace.messages.wire import SendRequest, SendResponse


async def send(request: Request) -> Response:
    """Send the message in the body."""
    asked: SendRequest = request.body
    receipt = await request.context.hub.send(
        asked.data,
        to=asked.to,
        group=asked.group,
        everyone=asked.everyone,
        idempotency_key=asked.idempotency_key,
    )
    body = SendResponse("%d-%d" % receipt.id, receipt.sessions)
    return Response(200, JSON, encode_json(body))


_DOC = OperationDoc(
    (
        ResponseDoc(
            200, "The message is in the history and queued for all open sessions.", SendResponse
        ),
    ),
    errors=(409,),
    rule={
        "oneOf": [
            {
                "required": ["to"],
                "properties": {"to": {"anyOf": [{"type": "string"}, {"minItems": 1}]}},
            },
            {"required": ["group"], "properties": {"group": {"type": "string"}}},
            {"required": ["everyone"], "properties": {"everyone": {"const": True}}},
        ]
    },
    example={"to": ["alice", "bob"], "data": "hello"},
)

ROUTES = (Route("POST", "/v1/send", send, access="application", body=SendRequest, doc=_DOC),)
