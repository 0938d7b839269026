"""What `/openapi.json` says of the routes beyond what they and their types say themselves.

A route's `Doc` stands in the table beside it. The aliases below name what a text is, so that its
schema is one component with its limits, which `openapi.py` takes from the settings. They change
nothing in what is decoded: the checks are the hub's and the signer's.
"""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias

from msgspec import Meta

from headrace import limits

REF = "#/components/schemas/{name}"
"""How the document refers to a schema."""


def _component(name: str) -> Meta:
    return Meta(extra_json_schema={"$ref": REF.format(name=name)})


ClientId: TypeAlias = Annotated[str, _component("ClientId")]
GroupName: TypeAlias = Annotated[str, _component("GroupName")]
Data: TypeAlias = Annotated[str, _component("Data")]
MessageId: TypeAlias = Annotated[str, _component("MessageId")]
LastId: TypeAlias = Annotated[str, _component("LastId")]
Grant: TypeAlias = Annotated[str, _component("Grant")]
Token: TypeAlias = Annotated[str, _component("Token")]
IdempotencyKey: TypeAlias = Annotated[str, _component("IdempotencyKey")]

# JSON has one kind of number (RFC 8259 section 6), and to JSON Schema 60.0 is an integer.
Minutes: TypeAlias = Annotated[float, _component("Minutes")]
AtMostGroups: TypeAlias = Annotated[
    tuple[GroupName, ...], Meta(extra_json_schema={"maxItems": limits.GROUPS_MAX_COUNT})
]
AtMostGrants: TypeAlias = Annotated[
    tuple[Grant, ...], Meta(extra_json_schema={"maxItems": limits.GROUPS_MAX_COUNT})
]


class Reply(NamedTuple):
    """An answer that is no error: its `body` is of a msgspec type, or text of another `media`."""

    status: int
    text: str
    body: Any = None
    media: str | None = "application/json"
    headers: Mapping[str, str] = {}


class Parameter(NamedTuple):
    """A parameter in the query, or a header; those of the path follow from the path."""

    name: str
    text: str
    schema: Any = str
    place: str = "query"
    required: bool = False


class Doc(NamedTuple):
    """What the document says of a route.

    `name` identifies the operation, `summary` is one line; both are the handler's own where they
    are empty. `errors` are statuses beside those that every route of its kind has. `rule` is what
    a type cannot say of its fields together, as keywords of JSON Schema.
    """

    replies: tuple[Reply, ...]
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    name: str = ""
    summary: str = ""
    text: str = ""
    rule: Mapping[str, Any] = {}
    example: Any = None


PLACES = (
    Parameter(
        "last_id",
        "The id of the last message received: what came after it is given again. Empty is as none.",
        LastId,
    ),
    Parameter(
        "since",
        "For a client that has no last id, after an attempt that may have been served without its"
        " knowing: the `pos` of that attempt's token. What came after it is given again, and more"
        " if the client's session before had left off earlier. Empty is as none.",
        LastId,
    ),
)
"""From where on a client wants messages."""
