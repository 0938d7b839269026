"""`POST /v1/messages`: a client's update-message, to the application or to other clients.

Where the token's `send` claim covers the target it is relayed; everything else is the
application's to judge.
"""

import math
from typing import Literal

import msgspec

from headrace import limits
from headrace.api.answers import Answer, json_answer
from headrace.api.auth import claims_of
from headrace.api.describe import ClientId, Data, Doc, GroupName, Reply
from headrace.api.node import Node
from headrace.api.routing import Access, Call, Route
from headrace.api.send import SendAnswer, entry_of, publish
from headrace.application import UpdateMessage
from headrace.errors import RequestError
from headrace.grants import covers
from headrace.names import utf8_size
from headrace.tokens import Claims


class MessageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data, and to whom: `to` (a client ID or a list), `group`, or neither."""

    data: Data
    to: ClientId | tuple[ClientId, ...] = ()
    group: GroupName | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The application has taken the message."""

    status: Literal["accepted"]


async def post_message(call: Call) -> Answer:
    """Answer 200 with the id of a relayed message, 202 for one that the application has taken.

    TokenError; RequestError 403 where nobody may take it, 429 from a client that sends too much,
    503 where the application cannot be reached.
    """
    claims = claims_of(call.node, call.request)
    sent = await take_message(call.node, claims, call.body)
    return json_answer(sent) if sent is not None else json_answer(Accepted("accepted"), 202)


async def take_message(node: Node, claims: Claims, asked: MessageRequest) -> SendAnswer | None:
    """Relay a message and return its id, or give it to the application and return None."""
    wait_s = node.message_buckets.take(claims.sub, node.hub.clocks.monotonic())
    if wait_s:
        raise RequestError(
            429,
            "the client sends more often than it may; wait as long as Retry-After says",
            (("retry-after", str(math.ceil(wait_s))),),
        )
    entry = entry_of(asked.data, asked.to, asked.group, everyone=False)
    if len(entry.to) > limits.CLIENT_TARGETS_MAX_COUNT:
        raise RequestError(
            400,
            f'"to" names {len(entry.to)} clients; a client may send to'
            f" {limits.CLIENT_TARGETS_MAX_COUNT} at a time: use a group",
        )
    if covers(claims.send, entry):
        return await publish(node, entry)
    application = node.hub.application
    if application is None:
        target = "its target" if entry.to or entry.group else "a message without a target"
        raise RequestError(
            403, f"the token's `send` claim does not cover {target}, and no application is set"
        )
    if entry.to or entry.group is not None:
        node.hub.check(entry)
    size_bytes = utf8_size("data", asked.data)
    if size_bytes > node.settings.message_max_bytes:
        raise RequestError(
            413, f"the data is {size_bytes} bytes; at most {node.settings.message_max_bytes} go"
        )
    await application.receive(UpdateMessage(claims.sub, asked.data, entry.to, entry.group))
    return None


_DOC = Doc(
    (
        Reply(200, "The message was relayed, as the token's `send` claim allows.", SendAnswer),
        Reply(202, "The application has taken the message.", Accepted),
    ),
    errors=(429,),
    summary="Send an update-message to the application, or to other clients.",
    text=f"""
        A client may send {limits.CLIENT_MESSAGES_PER_S:g} messages a second, and
        {limits.CLIENT_MESSAGES_BURST} at once.
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
        Access.CLIENT,
        post_message,
        MessageRequest,
        asks=True,
        tokened=True,
        doc=_DOC,
    ),
)
