"""`POST /v1/messages`: a client's update-message, relayed where its token allows it."""

import msgspec

from headrace.api.answers import Answer, json_answer
from headrace.api.auth import claims_of
from headrace.api.routing import Access, Call, Route
from headrace.api.send import entry_of, publish
from headrace.errors import RequestError
from headrace.grants import covers


class MessageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data, and to whom: `to` (a client ID or a list), `group`, or neither."""

    data: str
    to: str | tuple[str, ...] = ()
    group: str | None = None


async def post_message(call: Call) -> Answer:
    """Relay the message to its target; TokenError or RequestError (403) where it may not go."""
    claims = claims_of(call.node, call.request)
    asked: MessageRequest = call.body
    entry = entry_of(asked.data, asked.to, asked.group, everyone=False)
    if not covers(claims.send, entry):
        target = "its target" if entry.to or entry.group else "a message without a target"
        raise RequestError(
            403, f"the token's `send` claim does not cover {target}, and no application is set"
        )
    return json_answer(await publish(call.node, entry))


ROUTES = (Route("POST", "/v1/messages", Access.CLIENT, post_message, MessageRequest),)
