"""Find the route for a request: a table of routes, each with its method, path and access."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

import msgspec

from headrace.api.body_stream import StreamedResponse
from headrace.api.context import ApiContext
from headrace.api.credentials import bearer_token, query_param
from headrace.api.hub import Hub
from headrace.api.openapi.operation import OperationDoc
from headrace.api.responses import Response
from headrace.errors import RequestError
from headrace.protocol.http.events import RequestHead

Access: TypeAlias = Literal["open", "client", "application"]
"""The authorization that a route requires.

open
    Anyone.
client
    A page: its origin is checked, and the response has CORS headers. The handler checks the token.
application
    The application: the API key is checked.
"""


class Request(msgspec.Struct, frozen=True):
    """A request as its handler sees it.

    `params` are the parameters in the path, percent-decoded. `body` is the decoded JSON body, a
    `BodyStream` for a route with `stream_body`, None for a route without a body.
    """

    context: ApiContext
    head: RequestHead
    params: Mapping[str, str]
    body: Any

    @property
    def hub(self) -> Hub:
        """The hub that serves the request."""
        return self.context.hub

    @property
    def method(self) -> str:
        """The method, as sent."""
        return self.head.method

    @property
    def path(self) -> str:
        """The path, percent-encoded, without the query."""
        return self.head.path

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None; `name` is in lower case."""
        return self.head.header(name)

    def query(self, name: str) -> str | None:
        """Return the first value of a query parameter, percent-decoded, or None."""
        return query_param(self.head, name)

    @property
    def bearer_token(self) -> str | None:
        """The credentials of `Authorization: Bearer …`, or None."""
        return bearer_token(self.head)


Handler = Callable[[Request], Awaitable[Response | StreamedResponse]]


class Route(msgspec.Struct, frozen=True, eq=False):
    """One row of the table. In `path`, `{name}` stands for one percent-encoded segment.

    handler
        Makes the response. A route without one upgrades the connection (WebSocket, event stream),
        which is the server's job.
    access
        Who may use the route, see `Access`.
    body
        The type of the JSON body; None for a route that takes no body.
    cancel_on_disconnect
        The handler waits for an event, and is cancelled if the client disconnects.
    stream_body
        The handler gets its body as a `BodyStream` and may respond before the body has ended.
    run_in_task
        The handler takes long, because it asks the application.
    requires_token
        The client's token is checked before the body is read, so that only a client can make the
        server keep one.
    body_max_bytes
        The longest body; None for the limit of the route's access, see `Dispatcher.body_max_bytes`.
    doc
        The description in `/openapi.json`.
    """

    method: str
    path: str
    handler: Handler | None = None
    access: Access = "open"
    body: type[msgspec.Struct] | None = None
    cancel_on_disconnect: bool = False
    stream_body: bool = False
    run_in_task: bool = False
    requires_token: bool = False
    body_max_bytes: int | None = None
    doc: OperationDoc | None = None


class Match(NamedTuple):
    """A route, and the parameters in the path."""

    route: Route
    params: Mapping[str, str]


_NO_PARAMS: Final[Mapping[str, str]] = {}


class Router:
    """Finds routes by method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_path: dict[str, dict[str, Route]] = {}
        self._by_pattern: dict[tuple[str, ...], dict[str, Route]] = {}
        self.fixed: dict[tuple[str, str], Match] = {}
        """The routes without parameters, by method and path: the fast path of `match`."""
        for route in routes:
            if "{" in route.path:
                by_method = self._by_pattern.setdefault(tuple(route.path.split("/")), {})
            else:
                by_method = self._by_path.setdefault(route.path, {})
                self.fixed[route.method, route.path] = Match(route, _NO_PARAMS)
            by_method[route.method] = route

    def match(self, method: str, path: str) -> Match:
        """Return the route; raise RequestError 404 for an unknown path, 405 for a wrong method.

        HEAD is answered by the route for GET (RFC 9110 section 9.3.2).
        """
        by_method, params = self._find(path)
        route = by_method.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join(self._methods(by_method))
            raise RequestError(
                405, f"{path} takes {allowed}, not {method[:20]}", (("allow", allowed),)
            )
        return Match(route, params)

    def options(self, path: str) -> tuple[str, Access]:
        """Return the methods of a path as an `Allow` value, and its access; raise 404."""
        by_method, _ = self._find(path)
        return ", ".join(self._methods(by_method)), next(iter(by_method.values())).access

    def access(self, path: str) -> Access | None:
        """Return who may use a path, or None if there is no such path."""
        try:
            return self.options(path)[1]
        except RequestError:
            return None

    def _find(self, path: str) -> tuple[dict[str, Route], Mapping[str, str]]:
        by_method = self._by_path.get(path)
        if by_method is not None:
            return by_method, _NO_PARAMS
        segments = path.split("/")
        for pattern, by_method in self._by_pattern.items():
            if len(pattern) == len(segments):
                params = _match_segments(pattern, segments)
                if params is not None:
                    return by_method, params
        raise RequestError(404, f"there is nothing at {path[:100]}")

    @staticmethod
    def _methods(by_method: Mapping[str, Route]) -> list[str]:
        return [*by_method, *(["HEAD"] if "GET" in by_method else []), "OPTIONS"]


def _match_segments(pattern: Iterable[str], segments: Iterable[str]) -> dict[str, str] | None:
    params = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            try:
                params[expected[1:-1]] = unquote(segment, errors="strict")
            except UnicodeDecodeError:
                raise RequestError(400, f"{segment[:40]!r} is not percent-encoded UTF-8") from None
        elif expected != segment:
            return None
    return params
