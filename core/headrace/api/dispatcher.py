"""From a request to its response: the route, its access, the body, the handler, the errors.

begin(head) ──▶ Match, or a Response that needs no body
respond(match, head, body) ──▶ the handler's Response, errors included
"""

import logging
from collections.abc import Iterable
from hmac import compare_digest
from typing import Any, Final

import msgspec

from headrace import limits
from headrace.api import responses
from headrace.api.body_stream import BodyStream, StreamedResponse
from headrace.api.context import ApiContext
from headrace.api.credentials import check_api_key, verify_client
from headrace.api.json_body import JSON_ERRORS, invalid_json
from headrace.api.responses import Headers, Response
from headrace.api.router import Match, Request, Route, Router
from headrace.errors import ForbiddenError, HeadraceError, RequestError, TokenError
from headrace.protocol.http.events import RequestHead

_log = logging.getLogger("headrace")

_JSON: Final = ("application/json",)
_NDJSON: Final = ("application/x-ndjson", "application/jsonl", "application/json")
_PREFLIGHT_HEADERS: Final = "authorization, content-type, last-event-id"
JSON_ESCAPE_FACTOR: Final = 6
"""A byte of a message can be six in its JSON: `\\u0061` (RFC 8259 section 7)."""

CLIENT_BODY_OVERHEAD_BYTES: Final = 64 * 1024
"""For the rest of a client's JSON body: 100 targets of 256 bytes, a group, blanks."""

_PREFLIGHT_MAX_AGE_S: Final = 600
"""How long a browser may cache a CORS preflight's response."""


class Dispatcher:
    """Responds to the requests of one hub.

    Call `begin` with a request's head: it may refuse before the body is read. Call `respond` with
    the body. Both may raise the errors in `responses.REPORTED_ERRORS`; `refuse` turns one of them
    into a response.
    """

    def __init__(self, context: ApiContext, routes: Iterable[Route]) -> None:
        self._context = context
        routes = tuple(routes)
        self._router = Router(routes)
        self._decoders: dict[Route, msgspec.json.Decoder[Any]] = {
            route: msgspec.json.Decoder(route.body) for route in routes if route.body is not None
        }

    @property
    def context(self) -> ApiContext:
        """The context that every route handler receives."""
        return self._context

    def body_max_bytes(self, route: Route) -> int:
        """Return the limit for the body of a route: clients need less than the application."""
        if route.body_max_bytes is not None:
            return route.body_max_bytes
        if route.access != "client":
            return limits.BODY_MAX_BYTES
        message_max_bytes = self._context.hub.settings.message_max_bytes
        client_max_bytes = JSON_ESCAPE_FACTOR * message_max_bytes + CLIENT_BODY_OVERHEAD_BYTES
        return min(client_max_bytes, limits.BODY_MAX_BYTES)

    def client_id_of(self, route: Route, head: RequestHead) -> str | None:
        """Return the client whose valid token a request has, or None."""
        if route.access != "client":
            return None
        try:
            return verify_client(self._context, head).sub
        except TokenError:
            return None

    def begin(self, head: RequestHead) -> Match | Response:
        """Return the request's route if the caller may use it, or a response to OPTIONS."""
        match = self._router.fixed.get((head.method, head.path))
        if match is None:
            if head.method == "OPTIONS":
                return self._respond_to_options(head)
            match = self._router.match(head.method, head.path)
        route = match.route
        if route.access == "application":
            authorization = head.fields.get("authorization", "").encode()
            # The usual spelling is compared here; `check_api_key` accepts the others too.
            expected = self._context.api_authorization
            if not authorization or not compare_digest(authorization, expected):
                check_api_key(self._context, head)
        elif route.access == "client":
            self._check_origin(head)
        if route.requires_token:
            verify_client(self._context, head)
        if route.body is not None:
            if head.fields.get("content-type") != _JSON[0] or "content-length" not in head.fields:
                _check_body_headers(head, _JSON)
        elif route.stream_body:
            _check_body_headers(head, _NDJSON)
        return match

    async def respond(
        self, match: Match, head: RequestHead, body: bytes | BodyStream
    ) -> Response | StreamedResponse:
        """Run the route's handler and return its response; errors become responses."""
        route = match.route
        assert route.handler is not None
        response: Response | StreamedResponse
        try:
            decoded: Any = body
            if isinstance(body, bytes):
                try:
                    decoder = self._decoders.get(route)
                    decoded = None if decoder is None else decoder.decode(body)
                except JSON_ERRORS as error:
                    raise invalid_json(error, "body") from None
            response = await route.handler(Request(self._context, head, match.params, decoded))
        except responses.REPORTED_ERRORS as error:
            response = responses.problem(error)
        except Exception:  # noqa: BLE001 - any other error is a 500 for the caller, details in the log
            _log.exception("%s %s failed", head.method, head.path)
            response = responses.INTERNAL_ERROR
        if route.access == "client" and isinstance(response, Response):
            return self.with_cors(head, response)
        return response

    def refuse(self, head: RequestHead | None, error: HeadraceError) -> Response:
        """Return the response to a request that is refused before its handler runs."""
        response = responses.problem(error)
        if head is None or self._router.access(head.path) != "client":
            return response
        return self.with_cors(head, response)

    def with_cors(self, head: RequestHead, response: Response) -> Response:
        """Return the response with CORS headers, if the page's origin is allowed."""
        origin = head.fields.get("origin")
        if origin is None or not self._context.origins.allows(origin, head.fields.get("host")):
            return response
        cors = (
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", "retry-after"),  # readable by the page only then
            ("vary", "origin"),
        )
        return Response(response.status, response.headers + cors, response.body)

    def _respond_to_options(self, head: RequestHead) -> Response:
        """Respond to OPTIONS, CORS preflights included (WHATWG Fetch, section 3.3)."""
        if head.path == "*":  # RFC 9110 section 9.3.7: the server as a whole
            return Response(204)
        allow, access = self._router.options(head.path)
        headers: Headers = (("allow", allow),)
        if access != "client" or head.fields.get("origin") is None:
            return Response(204, headers)
        self._check_origin(head)
        headers += (
            ("access-control-allow-methods", allow),
            ("access-control-allow-headers", _PREFLIGHT_HEADERS),
            ("access-control-max-age", str(_PREFLIGHT_MAX_AGE_S)),
        )
        return self.with_cors(head, Response(204, headers))

    def _check_origin(self, head: RequestHead) -> None:
        origin = head.fields.get("origin")
        if origin is not None and not self._context.origins.allows(origin, head.fields.get("host")):
            raise ForbiddenError(
                f"pages of {origin} may not connect or post here; add that origin to"
                " allowed_origins, or serve the page from this host and port"
            )


def _check_body_headers(head: RequestHead, accepted: tuple[str, ...]) -> None:
    """Raise RequestError 411 for a body without a length, 415 for another content type."""
    if not head.fields.get("content-length") and not head.fields.get("transfer-encoding"):
        raise RequestError(411, "the request needs a JSON body and its Content-Length")
    media_type = (head.fields.get("content-type") or accepted[0]).partition(";")[0].strip()
    if media_type.lower() not in accepted:
        raise RequestError(
            415, f"the body is {media_type[:60]}; send JSON, with `Content-Type: {accepted[0]}`"
        )
