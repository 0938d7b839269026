"""The JSON bodies of the HTTP API, shared by the server's routes and the Python client.

One struct for each request and response body. The annotated aliases name a component of
`/openapi.json` (its limits come from the settings, see `api/openapi/schemas.py`); they do not
change what is decoded. Validation is in `validation.py` and in the token signer.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from headrace import limits

COMPONENT_REF = "#/components/schemas/{name}"
"""How the OpenAPI document refers to a schema."""


def _component(name: str) -> Meta:
    return Meta(extra_json_schema={"$ref": COMPONENT_REF.format(name=name)})


ClientId: TypeAlias = Annotated[str, _component("ClientId")]
GroupName: TypeAlias = Annotated[str, _component("GroupName")]
Data: TypeAlias = Annotated[str, _component("Data")]
MessageId: TypeAlias = Annotated[str, _component("MessageId")]
LastId: TypeAlias = Annotated[str, _component("LastId")]
Grant: TypeAlias = Annotated[str, _component("Grant")]
Token: TypeAlias = Annotated[str, _component("Token")]
IdempotencyKey: TypeAlias = Annotated[str, _component("IdempotencyKey")]

# JSON has one number type (RFC 8259 section 6), and JSON Schema counts 60.0 as an integer.
Minutes: TypeAlias = Annotated[float, _component("Minutes")]
GroupNames: TypeAlias = Annotated[
    tuple[GroupName, ...], Meta(extra_json_schema={"maxItems": limits.GROUPS_MAX_COUNT})
]
Grants: TypeAlias = Annotated[
    tuple[Grant, ...], Meta(extra_json_schema={"maxItems": limits.GROUPS_MAX_COUNT})
]


# --- channels and groups ---------------------------------------------------------------------


class ChannelRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The client, the lifetime of its token, its groups, and what it may send to."""

    client_id: ClientId
    duration_minutes: Minutes = limits.TOKEN_DEFAULT_MINUTES
    groups: GroupNames = ()
    send: Grants = ()


class ChannelResponse(msgspec.Struct, frozen=True):
    """A client's token, which is secret, and its expiry in seconds since the epoch."""

    token: Token
    client_id: ClientId
    expires_at: float


class RevokeResponse(msgspec.Struct, frozen=True):
    """The number of sessions that were closed with 4003."""

    client_id: ClientId
    sessions: int


class MembershipResponse(msgspec.Struct, frozen=True):
    """The client's membership after the change, and its number of open sessions."""

    group: GroupName
    client_id: ClientId
    member: bool
    sessions: int


# --- sends -----------------------------------------------------------------------------------


class SendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data and exactly one target: `to` (a client ID or a list), `group` or `everyone`.

    A send with an `idempotency_key` that was used within the last five minutes returns the first
    response and sends nothing; with other data or another target it is refused.
    """

    data: Data
    to: ClientId | tuple[ClientId, ...] = ()
    group: GroupName | None = None
    everyone: bool = False
    idempotency_key: IdempotencyKey | None = None


class SendResponse(msgspec.Struct, frozen=True):
    """The message's id, and the number of open sessions it was queued for."""

    id: MessageId
    sessions: int


class MessageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client's update-message: the data and `to` (a client ID or a list), `group`, or neither."""

    data: Data
    to: ClientId | tuple[ClientId, ...] = ()
    group: GroupName | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The application accepted the message."""

    status: Literal["accepted"]


# --- long polls ------------------------------------------------------------------------------


class PollMessage(msgspec.Struct, frozen=True):
    """A message, with the `group` it was sent to if any."""

    id: MessageId
    data: Data
    group: GroupName | msgspec.UnsetType = msgspec.UNSET


class PollResponse(msgspec.Struct, frozen=True):
    """The new messages, and the `last_id` for the next poll.

    `recovered` is present, and false, if messages after the requested id may be lost.
    """

    messages: tuple[PollMessage, ...]
    last_id: MessageId
    recovered: Literal[False] | msgspec.UnsetType = msgspec.UNSET


# --- presence and statistics -----------------------------------------------------------------


class ClientPresence(msgspec.Struct, frozen=True):
    """Whether a client is online, since when (seconds since the epoch), and its open sessions.

    During the grace period after its last session a client is online with 0 sessions.
    """

    client_id: ClientId
    online: bool
    since: float | None
    sessions: int


class GroupPresence(msgspec.Struct, frozen=True):
    """The clients of a group that have a session, and their number."""

    group: GroupName
    count: int
    clients: tuple[ClientPresence, ...]


class SessionBacklog(msgspec.Struct, frozen=True):
    """The number of messages that wait for one session of a client."""

    client_id: ClientId
    messages: int


class Stats(msgspec.Struct, frozen=True):
    """Current sizes, and counters since the start; `slowest` only if it was asked for."""

    version: str
    uptime_s: float
    sessions: int
    clients: int
    groups: int
    messages: int
    deliveries: int
    dropped: int
    slow_closed: int
    history_bytes: int
    slowest: tuple[SessionBacklog, ...] | msgspec.UnsetType = msgspec.UNSET


class Health(msgspec.Struct, frozen=True):
    """The process is running."""

    status: Literal["ok"]


class Readiness(msgspec.Struct, frozen=True):
    """The server accepts clients."""

    status: Literal["ready"]


# --- errors ----------------------------------------------------------------------------------


class Problem(msgspec.Struct, frozen=True):
    """The body of every error response (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class TokenProblem(Problem, frozen=True):
    """The body of the response to a token that is not accepted.

    `detail` is the App Engine client's description of the fault, `code` the WebSocket close code
    for it, `reason` the exact fault.
    """

    code: Literal[4001, 4002, 4003]
    reason: str
