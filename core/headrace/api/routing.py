"""Which route a request means: a table of routes, each with its method, path and audience."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from headrace.api.answers import Answer
from headrace.api.describe import Doc
from headrace.api.node import Node
from headrace.api.streaming import StreamedAnswer
from headrace.errors import RequestError
from headrace.protocol.http import Request


class Access(Enum):
    """Who may use a route."""

    OPEN = "open"
    CLIENT = "client"  # a page: its origin is checked, and the answer carries CORS headers
    APPLICATION = "application"  # the API key is checked


class Call(NamedTuple):
    """A request on its way to its handler; `body` is decoded, `params` are from the path."""

    node: Node
    request: Request
    params: Mapping[str, str]
    body: Any


Handler = Callable[[Call], Awaitable[Answer | StreamedAnswer]]


class Route(msgspec.Struct, frozen=True, eq=False):
    """One row of the table. In `path`, `{name}` stands for one segment, percent-encoded.

    `body` is the type of the JSON body, None for a route that takes none. Without a `handler` the
    connection itself becomes the answer (a WebSocket, an event stream), and the server does the
    rest. A handler that `waits` for something to happen is cancelled when the client goes; one
    that `streams` gets its body as a `BodyStream` and may answer before that has ended; one that
    `asks` the application takes as long as that does. Where it is `tokened`, the client's token is
    checked before the body is read, so that nobody else can have bodies kept. `doc` is for
    `/openapi.json`.
    """

    method: str
    path: str
    access: Access
    handler: Handler | None = None
    body: type[msgspec.Struct] | None = None
    waits: bool = False
    streams: bool = False
    asks: bool = False
    tokened: bool = False
    doc: Doc | None = None


class Match(NamedTuple):
    """A route and what the path said."""

    route: Route
    params: Mapping[str, str]


class Router:
    """Finds routes; paths without parameters cost one look-up."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._patterns: dict[tuple[str, ...], dict[str, Route]] = {}
        for route in routes:
            if "{" in route.path:
                by_method = self._patterns.setdefault(tuple(route.path.split("/")), {})
            else:
                by_method = self._fixed.setdefault(route.path, {})
            by_method[route.method] = route

    def match(self, method: str, path: str) -> Match:
        """Return the route; RequestError 404 for an unknown path, 405 for a method it lacks.

        HEAD goes wherever GET goes (RFC 9110 section 9.3.2).
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
        """Return the methods of a path as an `Allow` value, and who may use it; or raise 404."""
        by_method, _ = self._find(path)
        return ", ".join(self._methods(by_method)), next(iter(by_method.values())).access

    def access(self, path: str) -> Access | None:
        """Return who may use a path; None where there is nothing."""
        try:
            return self.options(path)[1]
        except RequestError:
            return None

    def _find(self, path: str) -> tuple[dict[str, Route], Mapping[str, str]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, {}
        segments = path.split("/")
        for pattern, by_method in self._patterns.items():
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
                raise RequestError(
                    400, f"{segment[:40]!r} is not UTF-8 in percent-encoding"
                ) from None
        elif expected != segment:
            return None
    return params
