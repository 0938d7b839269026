"""HTTP responses as values, and the one place where errors become HTTP statuses.

An error response is an `application/problem+json` document (RFC 9457).
"""

import math
from http import HTTPStatus
from typing import Final, TypeAlias

import msgspec

from headrace.errors import (
    ConflictError,
    ForbiddenError,
    HeadraceError,
    InputError,
    RateLimitedError,
    RequestError,
    TokenError,
    TooLargeError,
    UnavailableError,
)

Headers: TypeAlias = tuple[tuple[str, str], ...]

JSON: Final[Headers] = (("content-type", "application/json"), ("cache-control", "no-store"))
_PROBLEM: Final[Headers] = (
    ("content-type", "application/problem+json"),
    ("cache-control", "no-store"),
)

_STATUSES: Final[dict[type[HeadraceError], int]] = {
    InputError: 400,
    TooLargeError: 413,
    ForbiddenError: 403,
    ConflictError: 409,
    RateLimitedError: 429,
    UnavailableError: 503,
    TokenError: 401,
}

REPORTED_ERRORS: Final = (
    InputError,
    ConflictError,
    ForbiddenError,
    RateLimitedError,
    UnavailableError,
    TokenError,
    RequestError,
)
"""The errors whose text the caller may see; any other exception is answered with 500."""

encode_json = msgspec.json.Encoder().encode


class Response(msgspec.Struct, frozen=True, gc=False):
    """An HTTP response: the status, headers with names in lower case, and the whole body."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    @classmethod
    def json(cls, value: object, status: int = 200) -> "Response":
        """Return a response with `value`, a msgspec struct or plain JSON types, as its body."""
        return cls(status, JSON, encode_json(value))


def status_of(error: HeadraceError) -> int:
    """Return the HTTP status of an error; 500 for one that is not the caller's to see."""
    if isinstance(error, RequestError):
        return error.status
    for kind in type(error).__mro__:
        if kind in _STATUSES:
            return _STATUSES[kind]
    return 500


def problem(error: HeadraceError, **extra: object) -> Response:
    """Return the problem document of an error, with `extra` members.

    For a token error, `detail` is the description in the contract's table of token faults, `code`
    the WebSocket close code, and `reason` the exact fault.
    """
    headers: Headers = ()
    detail = str(error)
    if isinstance(error, RequestError):
        headers = error.headers
    elif isinstance(error, RateLimitedError | UnavailableError):
        headers = (("retry-after", str(math.ceil(error.retry_after_s))),)
    elif isinstance(error, TokenError):
        # RFC 6750 section 3; the texts of token errors are plain ASCII without quotes.
        challenge = f'Bearer error="invalid_token", error_description="{error}"'
        headers = (("www-authenticate", challenge),)
        detail = error.description
        extra |= {"code": error.close_code, "reason": str(error)}
    return _problem(status_of(error), detail, headers, extra)


def _problem(status: int, detail: str, headers: Headers, extra: dict[str, object]) -> Response:
    fields = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **extra,
    }
    return Response(status, _PROBLEM + headers, encode_json(fields))


SERVER_FAULT = RequestError(500, "the server failed on this request; its log has the details")
INTERNAL_ERROR = problem(SERVER_FAULT)
