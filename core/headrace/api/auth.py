"""Who asks: a client with its token, or the application with its key."""

from hmac import compare_digest
from urllib.parse import parse_qs

from headrace.api.node import Node
from headrace.errors import InvalidTokenError, RequestError
from headrace.position import Position, parse_position
from headrace.protocol.http import Request
from headrace.tokens import Claims

PROTOCOL = "headrace.v1"
"""The WebSocket subprotocol with envelopes, ids and resume."""

TOKEN_PREFIX = "headrace.token."  # noqa: S105 - no secret, but what stands before one
"""What a token's subprotocol begins with; browsers can set no other header on a WebSocket."""


def bearer(request: Request) -> str | None:
    """Return the credentials of `Authorization: Bearer …` (RFC 6750 section 2.1), if any."""
    scheme, _, credentials = (request.header("authorization") or "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def claims_of(node: Node, request: Request) -> Claims:
    """Return the claims of the client's token; TokenError says what is wrong with it."""
    token = find_token(request)
    if not token:
        raise InvalidTokenError("there is no token: send one as a subprotocol or as a bearer")
    return node.verify(token)


def find_token(request: Request) -> str:
    """Return the client's token from the first place that has one; "" where none has.

    The places: `Sec-WebSocket-Protocol: headrace.token.<token>`, `Authorization: Bearer <token>`,
    `?token=<token>`.
    """
    for protocol in request.header_list("sec-websocket-protocol"):
        if protocol.startswith(TOKEN_PREFIX):
            return protocol.removeprefix(TOKEN_PREFIX)
    return bearer(request) or query_value(request, "token") or ""


def query_value(request: Request, name: str) -> str | None:
    """Return the first value of a query parameter, percent-decoded; None where it is absent."""
    if name not in request.query:
        return None
    values = parse_qs(request.query, keep_blank_values=True).get(name)
    return values[0] if values else None


def place_in_query(request: Request, name: str) -> Position | None:
    """Return the id in a query parameter, None for none; RequestError (400) for what is no id."""
    text = query_value(request, name)
    return parse_position(text) if text else None


def check_api_key(request: Request, api_key: str | None) -> None:
    """Raise RequestError (401) unless the request bears the application's key."""
    given = bearer(request)
    if api_key is None or given is None or not compare_digest(given.encode(), api_key.encode()):
        raise RequestError(
            401,
            "this route is the application's: send `Authorization: Bearer <api key>`",
            (("www-authenticate", "Bearer"),),
        )
