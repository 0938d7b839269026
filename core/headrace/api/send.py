"""`POST /v1/send`: the application sends to clients, a group or everyone."""

import msgspec

from headrace.api.answers import Answer, json_answer
from headrace.api.routing import Access, Call, Route
from headrace.message import Entry


class SendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data and exactly one of `to` (a client ID or a list), `group` and `everyone`."""

    data: str
    to: str | tuple[str, ...] = ()
    group: str | None = None
    everyone: bool = False


class SendAnswer(msgspec.Struct, frozen=True):
    """The message's id, and how many open sessions it was queued for."""

    id: str
    sessions: int


def entry_of(data: str, to: str | tuple[str, ...], group: str | None, everyone: bool) -> Entry:
    """Return the entry that a request's fields describe; `Hub.publish` checks the rest."""
    targets = (to,) if isinstance(to, str) else to
    return Entry(data=data, to=targets, group=group, everyone=everyone)


async def publish(call: Call, entry: Entry) -> Answer:
    """Publish `entry` and answer with its id."""
    receipt = await call.node.hub.publish(entry)
    return json_answer(SendAnswer(str(receipt.id), receipt.sessions))


async def send(call: Call) -> Answer:
    """Send what the body says."""
    asked: SendRequest = call.body
    return await publish(call, entry_of(asked.data, asked.to, asked.group, asked.everyone))


ROUTES = (Route("POST", "/v1/send", Access.APPLICATION, send, SendRequest),)
