"""The credentials in a request: a client's token, or the application's API key."""

from hmac import compare_digest
from typing import Final
from urllib.parse import parse_qs

from headrace.api.context import ApiContext
from headrace.auth.tokens import Claims
from headrace.errors import InvalidTokenError, RequestError
from headrace.messages.position import Position, parse_position
from headrace.protocol.http.events import RequestHead

SUBPROTOCOL: Final = "headrace.v1"
"""The WebSocket subprotocol with envelopes, ids and resume."""

TOKEN_PREFIX: Final = "headrace.token."  # noqa: S105 - the prefix of a token, not a secret
"""A token's subprotocol starts with it: browsers cannot set other headers on a WebSocket."""


def bearer_token(head: RequestHead) -> str | None:
    """Return the credentials of `Authorization: Bearer …` (RFC 6750 section 2.1), or None."""
    scheme, _, credentials = (head.header("authorization") or "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def verify_client(context: ApiContext, head: RequestHead) -> Claims:
    """Return the claims of the client's token; raise TokenError if it is missing or not valid."""
    token = find_token(head)
    if not token:
        raise InvalidTokenError("there is no token: send it as a subprotocol or as a bearer token")
    return context.hub.verify(token)


def find_token(head: RequestHead) -> str:
    """Return the client's token from the first place that has one, or "".

    The places: `Sec-WebSocket-Protocol: headrace.token.<token>`, `Authorization: Bearer <token>`,
    `?token=<token>`.
    """
    for protocol in head.header_list("sec-websocket-protocol"):
        if protocol.startswith(TOKEN_PREFIX):
            return protocol.removeprefix(TOKEN_PREFIX)
    return bearer_token(head) or query_param(head, "token") or ""


def query_param(head: RequestHead, name: str) -> str | None:
    """Return the first value of a query parameter, percent-decoded, or None."""
    if name not in head.query:
        return None
    values = parse_qs(head.query, keep_blank_values=True).get(name)
    return values[0] if values else None


def position_param(head: RequestHead, name: str) -> Position | None:
    """Return the id in a query parameter, or None; raise InputError if it is not an id."""
    text = query_param(head, name)
    return parse_position(text) if text else None


def check_api_key(context: ApiContext, head: RequestHead) -> None:
    """Raise RequestError (401) unless the request has the application's API key."""
    given = bearer_token(head)
    api_key = context.api_key
    if api_key is None or given is None or not compare_digest(given.encode(), api_key.encode()):
        raise RequestError(
            401,
            "this route is for the application: send `Authorization: Bearer <api key>`",
            (("www-authenticate", "Bearer"),),
        )
