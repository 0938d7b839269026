"""`GET /openapi.json`: the HTTP API as an OpenAPI 3.1 document.

It is generated from the table of routes, the types of the bodies (msgspec makes their JSON Schema),
each route's `OperationDoc`, and the settings. OpenAPI cannot describe a WebSocket, an event stream
or a body of many lines, so these are described in text.
"""

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from headrace.api.openapi.operation import OperationDoc, Parameter, ResponseDoc
from headrace.api.openapi.schemas import components_of
from headrace.api.responses import Response
from headrace.api.router import Access, Request, Route
from headrace.messages.wire import COMPONENT_REF, ClientId, GroupName, Problem, TokenProblem
from headrace.settings import Settings
from headrace.version import __version__

Json = dict[str, Any]


_RETRY_AFTER = {"Retry-After": "Seconds to wait."}

_ERRORS: dict[int, tuple[str, dict[str, str]]] = {
    400: ("The request is malformed, or the value named in `detail` cannot be used.", {}),
    401: (
        "The API key is missing or wrong.",
        {"WWW-Authenticate": "`Bearer` (RFC 6750 section 3)."},
    ),
    403: (
        (
            "Pages of this origin may not do this, or neither the `send` claim nor an application"
            " allows it."
        ),
        {},
    ),
    404: ("There is nothing at this path. Is a `/` in a name percent-encoded?", {}),
    405: ("The path does not have this method.", {"Allow": "The methods that it has."}),
    408: ("The request took too long to arrive; the connection is closed.", {}),
    409: ("The `idempotency_key` was used for another message in the last five minutes.", {}),
    411: ("The request needs a body, with its length or chunked.", {}),
    413: ("The body, or the data in it, is too long.", {}),
    414: ("The path with its query is too long.", {}),
    415: ("The body has another content type.", {}),
    417: ("The only supported expectation is `100-continue`.", {}),
    426: ("This route is a WebSocket.", {"Upgrade": "`websocket`"}),
    429: ("The client sends too often.", _RETRY_AFTER),
    431: ("The headers are too many or too long.", {}),
    501: ("The only supported transfer coding is `chunked`.", {}),
    503: (
        "The server is shutting down or full, or the application cannot be reached.",
        _RETRY_AFTER,
    ),
    505: ("The only supported versions are HTTP/1.1 and HTTP/1.0.", {}),
}

_ANY_REQUEST = frozenset({400, 405, 408, 414, 417, 431, 501, 503, 505})
"""Statuses that any request can get."""

_TOKEN_FAULT = "TokenFault"  # noqa: S105 - the name of a response, not a secret

_PATH_PARAMETERS: dict[str, tuple[Any, str]] = {
    "client_id": (ClientId, "The client, percent-encoded: `/` as `%2F`, and `..` as `%2E%2E`."),
    "group": (GroupName, "The group, percent-encoded: `/` as `%2F`, and `..` as `%2E%2E`."),
}

_TAGS = {
    "client": "For clients: with a token, from pages of an allowed origin.",
    "application": "For the application: with the API key.",
    "open": "For everyone.",
}

_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    "client": [{"clientToken": []}, {"clientTokenInQuery": []}],
    "application": [{"applicationKey": []}],
    "open": [],
}

_SCHEMES: Json = {
    "applicationKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "The server's `api_key`, known to the application only.",
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
        "description": "The same, for clients that cannot set headers.",
    },
}

_DESCRIPTION = """\
Headrace pushes messages from an application to its JavaScript clients.

Every route with GET also has HEAD. OPTIONS returns a path's methods in `Allow`. Every error is an
`application/problem+json` document. Responses may gain members in later versions; a request body
with an unknown member is refused."""


def route_of(routes: Iterable[Route], settings: Settings) -> Route:
    """Return the route that serves the document of `routes` and of itself."""
    described = list(routes)

    @cache
    def response() -> Response:
        return Response.json(document(described, settings))

    async def openapi(_request: Request) -> Response:
        """Return this document."""
        return response()

    doc = OperationDoc((ResponseDoc(200, "An OpenAPI 3.1 document.", dict[str, Any]),))
    route = Route("GET", "/openapi.json", openapi, doc=doc)
    described.append(route)
    return route


def document(routes: Iterable[Route], settings: Settings) -> Json:
    """Return the document; every route must have a `doc`."""
    schemas: Json = {}
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    problem, token_problem = _schema(Problem, schemas), _schema(TokenProblem, schemas)
    error_responses = {
        str(status): _response(text, headers, {"application/problem+json": {"schema": problem}})
        for status, (text, headers) in _ERRORS.items()
    }
    error_responses[_TOKEN_FAULT] = _response(
        "The token is missing or not valid.",
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
        "tags": [{"name": access, "description": text} for access, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": components_of(settings) | schemas,
            "responses": error_responses,
            "securitySchemes": _SCHEMES,
        },
    }


def error_statuses(route: Route) -> list[int]:
    """Return the statuses of the error responses that a route may give, in order."""
    statuses = set(_ANY_REQUEST)
    if route.access == "client":
        statuses |= {401, 403}
    elif route.access == "application":
        statuses.add(401)
    if route.body is not None or route.stream_body:
        statuses |= {411, 415}
    if not route.stream_body:  # a streamed body may be of any length
        statuses.add(413)
    if "{" in route.path:
        statuses.add(404)
    if route.doc is not None:
        statuses.update(route.doc.errors)
    return sorted(statuses)


def _operation(route: Route, schemas: Json) -> Json:
    doc = route.doc
    assert doc is not None, f"{route.method} {route.path} needs a doc"
    operation: Json = {
        "operationId": doc.name or getattr(route.handler, "__name__", ""),
        "tags": [route.access],
        "summary": doc.summary or (inspect.getdoc(route.handler) or "").partition("\n")[0],
    }
    if doc.text:
        operation["description"] = inspect.cleandoc(doc.text)
    if route.access != "open":
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
    elif route.stream_body:
        content = {"schema": {"type": "string"}, "example": doc.example}
        operation["requestBody"] = {"required": True, "content": {"application/x-ndjson": content}}
    operation["responses"] = _responses(route, doc, schemas)
    return operation


def _responses(route: Route, doc: OperationDoc, schemas: Json) -> Json:
    responses = {}
    for reply in doc.responses:
        content = {}
        if reply.media is not None:
            schema = {"type": "string"} if reply.body is None else _schema(reply.body, schemas)
            content = {reply.media: {"schema": schema}}
        responses[str(reply.status)] = _response(reply.text, reply.headers, content)
    for status in error_statuses(route):
        is_token_fault = status == HTTPStatus.UNAUTHORIZED and route.access == "client"
        name = _TOKEN_FAULT if is_token_fault else str(status)
        responses[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return responses


def _response(text: str, headers: Mapping[str, str], content: Json) -> Json:
    response: Json = {"description": text}
    if headers:
        response["headers"] = {
            name: {"description": meaning, "required": True, "schema": {"type": "string"}}
            for name, meaning in headers.items()
        }
    if content:
        response["content"] = content
    return response


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
    """Return the schema of a type; add the schemas that it refers to to `schemas`."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template=COMPONENT_REF)
    for name, component in components.items():
        schemas.setdefault(name, _tidy(component))
    tidy: Json = _tidy(schema)
    return tidy


def _tidy(schema: Any) -> Any:
    """Drop the siblings of references, and the indentation of docstrings."""
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
