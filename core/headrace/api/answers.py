"""Answers as values, and how errors become `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from headrace.errors import RequestError, TokenError

Headers = tuple[tuple[str, str], ...]

_to_json = msgspec.json.Encoder().encode
JSON: Headers = (("content-type", "application/json"), ("cache-control", "no-store"))
_PROBLEM: Headers = (("content-type", "application/problem+json"), ("cache-control", "no-store"))


class Answer(NamedTuple):
    """An HTTP answer: status, headers with names in lower case, and the whole body."""

    status: int
    headers: Headers = ()
    body: bytes = b""


def json_answer(value: object, status: int = 200) -> Answer:
    """Return `value`, a msgspec struct or plain JSON types, as the body."""
    return Answer(status, JSON, _to_json(value))


def problem(error: RequestError | TokenError, **extra: object) -> Answer:
    """Return the problem document of an error, with `extra` members.

    A token's fault has as its `detail` the description in the contract's table, to the letter,
    and beside it the close `code` that a WebSocket would get and the precise `reason`.
    """
    if isinstance(error, TokenError):
        # RFC 6750 section 3; the texts of token errors are plain ASCII without quotes.
        challenge = f'Bearer error="invalid_token", error_description="{error}"'
        extra |= {"code": error.close_code, "reason": str(error)}
        return _problem(401, error.description, (("www-authenticate", challenge),), extra)
    return _problem(error.status, error.detail, error.headers, extra)


def _problem(
    status: int, detail: str, headers: Headers, extra: Mapping[str, object] | None = None
) -> Answer:
    fields = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **(extra or {}),
    }
    return Answer(status, _PROBLEM + headers, _to_json(fields))


SERVER_FAULT = RequestError(500, "something went wrong in the server; its log says what")
"""Told to the caller of what raised."""

INTERNAL_ERROR = problem(SERVER_FAULT)
