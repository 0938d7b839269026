"""The schemas of the texts that an application or a client chooses, with the limits in force.

JSON Schema counts characters where Headrace counts bytes of UTF-8, so each `maxLength` is a limit
that holds for all texts, and the one in bytes stands in the description.
"""

from typing import Any

from headrace import limits
from headrace.settings import Settings

_POSITION = r"(0|[1-9][0-9]{0,19})-(0|[1-9][0-9]{0,19})"


def components_of(settings: Settings) -> dict[str, Any]:
    """Return the components that the aliases in `describe.py` refer to."""
    return {
        "ClientId": _text("Names one client.", settings.client_id_max_bytes),
        "GroupName": _text("Names a group of clients.", limits.GROUP_NAME_MAX_BYTES),
        "IdempotencyKey": _text(
            "The same key within five minutes is the same send; a UUID does.",
            limits.IDEMPOTENCY_KEY_MAX_BYTES,
        ),
        "Data": _text("A message's text.", settings.message_max_bytes, at_least=0),
        "MessageId": {
            "type": "string",
            "pattern": f"^{_POSITION}$",
            "description": "A message's place in the one total order: milliseconds since the"
            " epoch, then a counter, each below 2^64.",
            "examples": ["1732412345678-0"],
        },
        "LastId": {
            "type": "string",
            "pattern": f"^({_POSITION})?$",
            "description": "A `MessageId`, or nothing.",
            "examples": ["1732412345678-0"],
        },
        "Grant": {
            "type": "string",
            "minLength": 1,
            "description": "What a client may send to without asking the application:"
            r" `client:<pattern>` or `group:<pattern>`, where `*` is any text, `\*` a star and"
            r" `\\` a backslash.",
            "examples": ["group:lobby", "client:*"],
        },
        "Minutes": {
            "type": "integer",
            "minimum": limits.TOKEN_MIN_MINUTES,
            "maximum": limits.TOKEN_MAX_MINUTES,
            "description": "How long a token lasts.",
        },
        "Token": {
            "type": "string",
            "maxLength": limits.TOKEN_MAX_BYTES,
            "description": "A JWT (RFC 7519): opens one client's channel, and is its secret.",
        },
    }


def _text(what: str, most_bytes: int, *, at_least: int = 1) -> dict[str, Any]:
    return {
        "type": "string",
        "minLength": at_least,
        "maxLength": most_bytes,
        "description": f"{what} At most {most_bytes} bytes of UTF-8, which are fewer characters"
        " where some are outside ASCII.",
    }
