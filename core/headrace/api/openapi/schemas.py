"""The schemas of names, data, ids and tokens, with the limits of the settings.

JSON Schema counts characters and Headrace counts bytes of UTF-8, so `maxLength` is the limit for
ASCII text, and the description gives the limit in bytes.
"""

from typing import Any

from headrace import limits
from headrace.settings import Settings

_POSITION = r"(0|[1-9][0-9]{0,19})-(0|[1-9][0-9]{0,19})"


def components_of(settings: Settings) -> dict[str, Any]:
    """Return the components that the aliases in `messages/wire.py` refer to."""
    return {
        "ClientId": _text("Names one client.", settings.client_id_max_bytes),
        "GroupName": _text("Names a group of clients.", limits.GROUP_NAME_MAX_BYTES),
        "IdempotencyKey": _text(
            "Sends with the same key within five minutes are one send. A UUID works well.",
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
            "description": "A `MessageId`, or the empty string.",
            "examples": ["1732412345678-0"],
        },
        "Grant": {
            "type": "string",
            "pattern": r"^(client|group):[\s\S]+",
            "description": "A target that a client may send to by itself:"
            r" `client:<pattern>` or `group:<pattern>`, where `*` matches any text, `\*` a star and"
            r" `\\` a backslash.",
            "examples": ["group:lobby", "client:*"],
        },
        "Minutes": {
            "type": "integer",
            "minimum": limits.TOKEN_MIN_MINUTES,
            "maximum": limits.TOKEN_MAX_MINUTES,
            "description": "The lifetime of a token.",
        },
        "Token": {
            "type": "string",
            "maxLength": limits.TOKEN_MAX_BYTES,
            "description": "A JWT (RFC 7519) that opens one client's channel. Keep it secret.",
        },
    }


def _text(what: str, most_bytes: int, *, at_least: int = 1) -> dict[str, Any]:
    return {
        "type": "string",
        "minLength": at_least,
        "maxLength": most_bytes,
        "description": f"{what} At most {most_bytes} bytes of UTF-8.",
    }
