"""HTTP requests and responses as values, and how a response is decoded.

They are independent of the HTTP library; `http_transport.py` converts them.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec

from headrace.client.errors import RequestError, UnreachableError

Result = TypeVar("Result")


class HttpRequest(NamedTuple):
    """A request to the server; `target` is the path and the query, percent-encoded."""

    method: str
    target: str
    body: bytes | None = None
    media_type: str = "application/json"


class HttpResponse(NamedTuple):
    """A complete response; header names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def request_error(response: HttpResponse) -> RequestError:
    """Return the error for a response whose status is not 2xx."""
    return RequestError(
        response.status, problem_detail(response.status, response.body), response.headers
    )


def problem_detail(status: int, body: bytes) -> str:
    """Return the detail of a problem document (RFC 9457), or a text with the status."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = {}
    text = problem.get("detail") or problem.get("title")
    return str(text) if text else f"the server responded with status {status}"


def decoder(kind: type[Result]) -> Callable[[HttpResponse], Result]:
    """Return a function that decodes a response's JSON body as `kind`.

    It raises UnreachableError if the body is not what a Headrace server sends.
    """
    decode_json = msgspec.json.Decoder(kind).decode

    def decode(response: HttpResponse) -> Result:
        try:
            return decode_json(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_headrace(error) from None

    return decode


def not_headrace(error: Exception) -> UnreachableError:
    """Return the error for a body that cannot be decoded."""
    return UnreachableError(f"the response is not from a Headrace server: {error}")
