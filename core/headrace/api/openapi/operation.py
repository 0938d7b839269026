"""The description of a route in `/openapi.json`, beyond what its types say.

Each route has an `OperationDoc` beside it in its module.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from headrace.messages.wire import LastId


class ResponseDoc(NamedTuple):
    """A successful response: its `body` is a msgspec type, or None for text of the type `media`."""

    status: int
    text: str
    body: Any = None
    media: str | None = "application/json"
    headers: Mapping[str, str] = {}


class Parameter(NamedTuple):
    """A query parameter or a header. Path parameters are derived from the path."""

    name: str
    text: str
    schema: Any = str
    place: str = "query"
    required: bool = False


class OperationDoc(NamedTuple):
    """The description of a route.

    `name` is the operation's id and `summary` one line about it; by default they are the handler's
    name and the first line of its docstring. `errors` are error statuses in addition to those of
    every route of its kind. `rule` holds JSON Schema keywords for constraints between fields, which
    a type cannot express.
    """

    responses: tuple[ResponseDoc, ...]
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    name: str = ""
    summary: str = ""
    text: str = ""
    rule: Mapping[str, Any] = {}
    example: Any = None


RESUME_PARAMETERS = (
    Parameter(
        "last_id",
        "The id of the last received message; the messages after it follow. Empty means none.",
        LastId,
    ),
    Parameter(
        "since",
        "For a client without a last id whose earlier attempt may have been served without its"
        " knowledge: the `pos` of that attempt's token. The messages after it follow, or after the"
        " end of the client's previous session if that is earlier. Empty means none.",
        LastId,
    ),
)
"""Where a client resumes."""
