"""From a request to its answer: the route, who may use it, the body, the handler, the errors."""

import logging
from collections.abc import Iterable
from typing import Any

import msgspec

from headrace import limits
from headrace.api import answers
from headrace.api.answers import Answer, Headers
from headrace.api.auth import check_api_key, claims_of
from headrace.api.node import Node
from headrace.api.routing import Access, Call, Match, Route, Router
from headrace.api.streaming import BodyStream, StreamedAnswer
from headrace.errors import RequestError, TokenError
from headrace.protocol.http import Request

_log = logging.getLogger("headrace")

_JSON = ("application/json",)
_NDJSON = ("application/x-ndjson", "application/jsonl", "application/json")
_PREFLIGHT_HEADERS = "authorization, content-type, last-event-id"


class Dispatcher:
    """Answers the requests of one node.

    `begin` when the head is there: it may refuse before the body is read. `answer` when the body
    is there. Both raise RequestError or TokenError; `refuse` makes the answer of an error.
    """

    def __init__(self, node: Node, routes: Iterable[Route]) -> None:
        self.node = node
        routes = tuple(routes)
        self._router = Router(routes)
        self._decoders: dict[Route, msgspec.json.Decoder[Any]] = {
            route: msgspec.json.Decoder(route.body) for route in routes if route.body is not None
        }

    def begin(self, request: Request) -> Match | Answer:
        """Return the request's route once its caller may use it, or the answer if there is one."""
        if request.method == "OPTIONS":
            return self._options(request)
        match = self._router.match(request.method, request.path)
        route = match.route
        if route.access is Access.CLIENT:
            self._check_origin(request)
        elif route.access is Access.APPLICATION:
            check_api_key(request, self.node.api_key)
        if route.tokened:
            claims_of(self.node, request)
        if route.body is not None or route.streams:
            _check_body_headers(request, _NDJSON if route.streams else _JSON)
        return match

    async def answer(
        self, match: Match, request: Request, body: bytes | BodyStream
    ) -> Answer | StreamedAnswer:
        """Run the route's handler and return its answer, errors included."""
        route = match.route
        assert route.handler is not None
        answer: Answer | StreamedAnswer
        try:
            decoded = self._decode(route, body) if isinstance(body, bytes) else body
            answer = await route.handler(Call(self.node, request, match.params, decoded))
        except (RequestError, TokenError) as error:
            answer = answers.problem(error)
        except Exception:  # noqa: BLE001 - the last line of defence: the caller gets a 500, the log the rest
            _log.exception("%s %s failed", request.method, request.path)
            answer = answers.INTERNAL_ERROR
        if isinstance(answer, Answer) and route.access is Access.CLIENT:
            return self.with_cors(request, answer)
        return answer

    def refuse(self, request: Request | None, error: RequestError | TokenError) -> Answer:
        """Return the answer of an error that was raised before a handler ran."""
        answer = answers.problem(error)
        if request is None or self._router.access(request.path) is not Access.CLIENT:
            return answer
        return self.with_cors(request, answer)

    def _options(self, request: Request) -> Answer:
        """Answer OPTIONS, a CORS preflight included (WHATWG Fetch, section 3.3)."""
        if request.path == "*":  # RFC 9110 section 9.3.7: the server as a whole
            return Answer(204)
        allow, access = self._router.options(request.path)
        headers: Headers = (("allow", allow),)
        if access is not Access.CLIENT or request.header("origin") is None:
            return Answer(204, headers)
        self._check_origin(request)
        headers += (
            ("access-control-allow-methods", allow),
            ("access-control-allow-headers", _PREFLIGHT_HEADERS),
            ("access-control-max-age", str(limits.PREFLIGHT_MAX_AGE_S)),
        )
        return self.with_cors(request, Answer(204, headers))

    def _check_origin(self, request: Request) -> None:
        origin = request.header("origin")
        if not self.node.origins.allows(origin, request.header("host")):
            raise RequestError(
                403,
                f"pages of {origin} may not connect or post here; name that origin in"
                " allowed_origins, or serve the page from this host and port",
            )

    def with_cors(self, request: Request, answer: Answer) -> Answer:
        """Let the page that asked read the answer, if its origin is allowed."""
        origin = request.header("origin")
        if origin is None or not self.node.origins.allows(origin, request.header("host")):
            return answer
        cors = (
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", "retry-after"),  # or the page cannot read it
            ("vary", "origin"),
        )
        return answer._replace(headers=answer.headers + cors)

    def _decode(self, route: Route, body: bytes) -> object:
        if route.body is None:
            return None
        try:
            return self._decoders[route].decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RequestError(400, f"the body does not fit: {error}") from None
        except RecursionError:
            raise RequestError(400, "the body is nested too deeply") from None


def _check_body_headers(request: Request, accepted: tuple[str, ...]) -> None:
    """Raise RequestError 411 for a body without a length, 415 for another kind of content."""
    if not request.header("content-length") and not request.header("transfer-encoding"):
        raise RequestError(411, "the request needs a JSON body, with its Content-Length")
    media_type = (request.header("content-type") or accepted[0]).partition(";")[0].strip()
    if media_type.lower() not in accepted:
        raise RequestError(
            415, f"the body is {media_type[:60]}; send JSON, with `Content-Type: {accepted[0]}`"
        )
