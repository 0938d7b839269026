"""`GET /openapi.json`: the routes in the form of OpenAPI 3.1, for people and for tools.

All of it follows from the table of routes, the types of bodies and answers (their JSON Schema is
msgspec's), each route's `Doc`, and the settings. OpenAPI has no form for a WebSocket, for events or
for a body of many lines: these are described in words.
"""

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from headrace.api.answers import Answer, json_answer
from headrace.api.describe import REF, ClientId, Doc, GroupName, Parameter, Reply
from headrace.api.routing import Access, Call, Route
from headrace.api.schemas import components_of
from headrace.settings import Settings
from headrace.version import __version__

Json = dict[str, Any]


class Problem(msgspec.Struct, frozen=True):
    """What every error is answered with (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class TokenProblem(Problem, frozen=True):
    """A token that opens nothing.

    `code` is what a WebSocket would be closed with, `detail` the App Engine client's description
    of it, and `reason` says precisely what is wrong.
    """

    code: Literal[4001, 4002, 4003]
    reason: str


_RETRY_AFTER = {"Retry-After": "Seconds to wait."}

_ERRORS: dict[int, tuple[str, dict[str, str]]] = {
    400: ("The request, or what is named in `detail`, does not fit.", {}),
    401: (
        "The API key is missing or another.",
        {"WWW-Authenticate": "`Bearer` (RFC 6750 section 3)."},
    ),
    403: (
        "Pages of this origin may not do this, or no `send` claim and no application takes it.",
        {},
    ),
    404: ("There is nothing at this path: is a `/` in a name percent-encoded?", {}),
    405: ("The path is right, but has not this method.", {"Allow": "The methods that it has."}),
    408: ("The request took too long to arrive; the connection is closed.", {}),
    411: ("A body is needed, with its length or in chunks.", {}),
    413: ("The body, or the data in it, is too long.", {}),
    414: ("The path with its query is too long.", {}),
    415: ("The body is of another content type.", {}),
    417: ("The only expectation that can be met is `100-continue`.", {}),
    426: ("This is a WebSocket.", {"Upgrade": "`websocket`"}),
    429: ("The client sends more often than it may.", _RETRY_AFTER),
    431: ("There are too many headers, or too long ones.", {}),
    501: ("The only transfer coding that is understood is `chunked`.", {}),
    503: (
        "The server is shutting down or full, or the application cannot be reached.",
        _RETRY_AFTER,
    ),
    505: ("The versions that are spoken are HTTP/1.1 and HTTP/1.0.", {}),
}

_ANY_REQUEST = frozenset({400, 405, 408, 414, 417, 431, 501, 503, 505})
"""Found before, or apart from, what the request is for."""

_TOKEN_FAULT = "TokenFault"  # noqa: S105 - no secret, but an answer's name

_PATH_PARAMETERS: dict[str, tuple[Any, str]] = {
    "client_id": (ClientId, "The client, percent-encoded: `/` as `%2F`, and `..` as `%2E%2E`."),
    "group": (GroupName, "The group, percent-encoded: `/` as `%2F`, and `..` as `%2E%2E`."),
}

_TAGS = {
    Access.CLIENT: "For clients: opened by a token, from pages of an allowed origin.",
    Access.APPLICATION: "For the application: opened by the API key.",
    Access.OPEN: "For everyone.",
}

_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.CLIENT: [{"clientToken": []}, {"clientTokenInQuery": []}],
    Access.APPLICATION: [{"applicationKey": []}],
    Access.OPEN: [],
}

_SCHEMES: Json = {
    "applicationKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "The server's `api_key`, which is the application's secret.",
    },
    "clientToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A client's token, from `POST /v1/channels` or signed by the application"
        " itself (HS256). On a WebSocket, the subprotocol `headrace.token.<token>`.",
    },
    "clientTokenInQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The same, for those that can set no header.",
    },
}

_DESCRIPTION = """\
Headrace pushes messages from an application to its JavaScript clients.

Where there is GET there is HEAD, and OPTIONS tells a path's methods in `Allow`. Every error is an
`application/problem+json` document. An answer may gain members; a body with a member that is not
described is refused."""


def route_of(routes: Iterable[Route], settings: Settings) -> Route:
    """Return the route of the document, which describes `routes` and itself."""
    described = list(routes)

    @cache
    def answer() -> Answer:
        return json_answer(document(described, settings))

    async def openapi(_call: Call) -> Answer:
        """Answer with this document."""
        return answer()

    doc = Doc((Reply(200, "An OpenAPI 3.1 document.", dict[str, Any]),))
    route = Route("GET", "/openapi.json", Access.OPEN, openapi, doc=doc)
    described.append(route)
    return route


def document(routes: Iterable[Route], settings: Settings) -> Json:
    """Return the document; every route must have a `doc`."""
    schemas: Json = {}
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    problem, token_problem = _schema(Problem, schemas), _schema(TokenProblem, schemas)
    answers = {
        str(status): _answer(text, headers, {"application/problem+json": {"schema": problem}})
        for status, (text, headers) in _ERRORS.items()
    }
    answers[_TOKEN_FAULT] = _answer(
        "The token opens nothing.",
        _ERRORS[401][1],
        {"application/problem+json": {"schema": token_problem}},
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": __version__,
            "license": {"name": "MIT", "identifier": "MIT"},
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": access.value, "description": text} for access, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": components_of(settings) | schemas,
            "responses": answers,
            "securitySchemes": _SCHEMES,
        },
    }


def error_statuses(route: Route) -> list[int]:
    """Return the statuses of the problems that a route may answer with, in order."""
    statuses = set(_ANY_REQUEST)
    if route.access is Access.CLIENT:
        statuses |= {401, 403}
    elif route.access is Access.APPLICATION:
        statuses.add(401)
    if route.body is not None or route.streams:
        statuses |= {411, 415}
    if not route.streams:  # a streamed body may be of any length
        statuses.add(413)
    if "{" in route.path:
        statuses.add(404)
    if route.doc is not None:
        statuses.update(route.doc.errors)
    return sorted(statuses)


def _operation(route: Route, schemas: Json) -> Json:
    doc = route.doc
    assert doc is not None, f"{route.method} {route.path} needs a Doc"
    operation: Json = {
        "operationId": doc.name or getattr(route.handler, "__name__", ""),
        "tags": [route.access.value],
        "summary": doc.summary or (inspect.getdoc(route.handler) or "").partition("\n")[0],
    }
    if doc.text:
        operation["description"] = inspect.cleandoc(doc.text)
    if route.access is not Access.OPEN:
        operation["security"] = _SECURITY[route.access]
    parameters = [
        *[_path_parameter(part[1:-1], schemas) for part in route.path.split("/") if "{" in part],
        *[_parameter(parameter, schemas) for parameter in doc.parameters],
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"schema": _schema(route.body, schemas)}
        if doc.example is not None:
            content["example"] = doc.example
        schemas[route.body.__name__].update(doc.rule)
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    elif route.streams:
        content = {"schema": {"type": "string"}, "example": doc.example}
        operation["requestBody"] = {"required": True, "content": {"application/x-ndjson": content}}
    operation["responses"] = _responses(route, doc, schemas)
    return operation


def _responses(route: Route, doc: Doc, schemas: Json) -> Json:
    responses = {}
    for reply in doc.replies:
        content = {}
        if reply.media is not None:
            schema = {"type": "string"} if reply.body is None else _schema(reply.body, schemas)
            content = {reply.media: {"schema": schema}}
        responses[str(reply.status)] = _answer(reply.text, reply.headers, content)
    for status in error_statuses(route):
        fault = status == HTTPStatus.UNAUTHORIZED and route.access is Access.CLIENT
        name = _TOKEN_FAULT if fault else str(status)
        responses[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return responses


def _answer(text: str, headers: Mapping[str, str], content: Json) -> Json:
    answer: Json = {"description": text}
    if headers:
        answer["headers"] = {
            name: {"description": meaning, "required": True, "schema": {"type": "string"}}
            for name, meaning in headers.items()
        }
    if content:
        answer["content"] = content
    return answer


def _path_parameter(name: str, schemas: Json) -> Json:
    kind, text = _PATH_PARAMETERS[name]
    return _parameter(Parameter(name, text, kind, place="path", required=True), schemas)


def _parameter(parameter: Parameter, schemas: Json) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.text,
        "required": parameter.required,
        "schema": _schema(parameter.schema, schemas),
    }


def _schema(kind: Any, schemas: Json) -> Json:
    """Return the schema of a type, and put those that it refers to into `schemas`."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template=REF)
    for name, component in components.items():
        schemas.setdefault(name, _tidy(component))
    tidy: Json = _tidy(schema)
    return tidy


def _tidy(schema: Any) -> Any:
    """Leave out what a reference says already, and the indentation of docstrings."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    return {
        key: inspect.cleandoc(value)
        if key == "description" and isinstance(value, str)
        else _tidy(value)
        for key, value in schema.items()
    }
