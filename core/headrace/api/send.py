"""`POST /v1/send`: the application sends to clients, a group or everyone."""

import msgspec

from headrace.api.answers import Answer, json_answer
from headrace.api.describe import ClientId, Data, Doc, GroupName, IdempotencyKey, MessageId, Reply
from headrace.api.node import Node
from headrace.api.routing import Access, Call, Route
from headrace.entries import Entry


class SendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data and exactly one of `to` (a client ID or a list), `group` and `everyone`.

    The same `idempotency_key` within five minutes is the same send: it is answered again, but not
    sent again.
    """

    data: Data
    to: ClientId | tuple[ClientId, ...] = ()
    group: GroupName | None = None
    everyone: bool = False
    idempotency_key: IdempotencyKey | None = None


class SendAnswer(msgspec.Struct, frozen=True):
    """The message's id, and how many open sessions it was queued for."""

    id: MessageId
    sessions: int


def entry_of(data: str, to: str | tuple[str, ...], group: str | None, everyone: bool) -> Entry:
    """Return the entry that a request's fields describe; `Hub.publish` checks the rest."""
    targets = (to,) if isinstance(to, str) else to
    return Entry(data=data, to=targets, group=group, everyone=everyone)


async def publish(node: Node, entry: Entry) -> SendAnswer:
    """Publish `entry` and say with which id."""
    receipt = await node.hub.publish(entry)
    return SendAnswer(str(receipt.id), receipt.sessions)


async def send_one(node: Node, asked: SendRequest) -> SendAnswer:
    """Publish what one request, or one line of a batch, says."""
    entry = entry_of(asked.data, asked.to, asked.group, asked.everyone)
    if asked.idempotency_key is None:
        return await publish(node, entry)
    receipt = await node.sends.do(asked.idempotency_key, lambda: node.hub.publish(entry))
    return SendAnswer(str(receipt.id), receipt.sessions)


async def send(call: Call) -> Answer:
    """Send what the body says."""
    return json_answer(await send_one(call.node, call.body))


_DOC = Doc(
    (Reply(200, "The message is on its way, also where nobody is connected.", SendAnswer),),
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

ROUTES = (Route("POST", "/v1/send", Access.APPLICATION, send, SendRequest, doc=_DOC),)
