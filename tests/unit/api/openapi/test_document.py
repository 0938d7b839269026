"""api/openapi/document.py: the document is complete and valid, and has the limits in force."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from tests.helpers.fakes_asyncio import new_api, request_head

from headrace import codes
from headrace.api.context import ApiContext
from headrace.api.hub import Hub
from headrace.api.openapi import document as openapi
from headrace.api.openapi.operation import OperationDoc
from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.api.routes.table import all_routes
from headrace.messages.wire import SendRequest
from headrace.settings import Settings

SETTINGS = Settings(secrets=("s" * 32,), client_id_max_bytes=77, message_max_bytes=5000)

CONTRACT = """
GET /v1/connect
GET /v1/events
GET /v1/poll
POST /v1/messages
GET /_ah/channel/jsapi
GET /headrace.js
POST /v1/channels
POST /v1/send
POST /v1/send/batch
GET /v1/presence/{client_id}
GET /v1/presence
PUT /v1/groups/{group}/members/{client_id}
DELETE /v1/groups/{group}/members/{client_id}
DELETE /v1/channels/{client_id}
GET /v1/stats
GET /healthz
GET /readyz
GET /openapi.json
"""


def own_routes(*, demo: bool = False) -> tuple[Route, ...]:
    return all_routes(ApiContext(Hub(SETTINGS), demo=demo))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as a client decodes it."""
    made = openapi.document(own_routes(), SETTINGS)
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(made))
    return decoded


def operations(document: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            assert list(part) == ["$ref"]
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()


def test_the_validation_finds_a_missing_property(document: dict[str, Any]) -> None:
    broken = copy.deepcopy(document)
    del broken["paths"]["/healthz"]["get"]["responses"]["200"]["description"]
    with pytest.raises(Exception, match='"description" is a required property'):
        schemathesis.openapi.from_dict(broken).validate()


def test_it_has_every_route_of_the_contract(document: dict[str, Any]) -> None:
    missing = set(CONTRACT.split("\n")) - {""} - set(operations(document))
    assert not missing


def test_it_has_every_route_except_the_demo_s() -> None:
    own = operations(openapi.document(own_routes(), SETTINGS))
    routes = own_routes(demo=True)
    others = {f"{route.method} {route.path}" for route in routes} - set(own)
    assert others == {"GET /", "POST /demo/join"}


def test_each_operation_has_a_name_and_a_summary(document: dict[str, Any]) -> None:
    found = operations(document).values()
    names = [operation["operationId"] for operation in found]
    assert all(names)
    assert len(set(names)) == len(names)
    for operation in found:
        assert operation["summary"].endswith(".")
        assert len(operation["summary"]) < 100


def test_every_reference_has_a_target_and_every_component_is_used(document: dict[str, Any]) -> None:
    found = set(references(document))
    defined = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses")
        for name in document["components"][kind]
    }
    assert found == defined


def test_keys_are_documented_for_the_routes_that_check_them(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    for name, operation in operations(document).items():
        keys = [key for alternative in operation.get("security", []) for key in alternative]
        assert set(keys) <= set(schemes)
        assert bool(keys) == ("401" in operation["responses"]), name
        assert operation["tags"] == [
            "open" if not keys else "application" if "applicationKey" in keys else "client"
        ]


def test_limits_are_those_of_the_settings(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["ClientId"]["maxLength"] == 77
    assert "77 bytes" in schemas["ClientId"]["description"]
    assert schemas["Data"]["maxLength"] == 5000
    assert schemas["GroupName"]["maxLength"] == 256
    assert schemas["Minutes"]["maximum"] == 1440
    assert schemas["ChannelRequest"]["properties"]["groups"]["maxItems"] == 128
    assert schemas["SendRequest"]["additionalProperties"] is False


def test_a_name_has_the_same_schema_everywhere(document: dict[str, Any]) -> None:
    """Client IDs, groups and data: in request bodies, response bodies and parameters."""
    kinds = {"client_id": "ClientId", "group": "GroupName", "data": "Data"}
    seen = set()
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            if field in kinds and name != "Event":
                assert f"#/components/schemas/{kinds[field]}" in references(described)
                seen.add(field)
    assert seen == set(kinds)
    for operation in operations(document).values():
        for parameter in operation.get("parameters", []):
            if parameter["name"] in kinds:
                assert parameter["schema"] == {
                    "$ref": f"#/components/schemas/{kinds[parameter['name']]}"
                }


def test_the_description_of_connect_lists_the_close_codes(document: dict[str, Any]) -> None:
    text = document["paths"]["/v1/connect"]["get"]["description"]
    for code, reason in codes.REASONS.items():
        assert f"- {code}: {reason}" in text


def test_a_route_without_a_doc_is_named() -> None:
    async def undocumented(_request: Request) -> Response:
        return Response(204)

    with pytest.raises(AssertionError, match="PUT /undocumented needs a doc"):
        openapi.document([Route("PUT", "/undocumented", undocumented)], SETTINGS)


async def test_it_is_built_once() -> None:
    context = new_api()
    route = all_routes(context)[-1]
    assert route.path == "/openapi.json"
    assert route.handler is not None
    request = Request(context, request_head("GET", route.path), {}, None)
    assert (await route.handler(request)) is (await route.handler(request))


# --- error responses -------------------------------------------------------------------------

ANY_REQUEST = {400, 405, 408, 414, 417, 431, 501, 503, 505}


async def handler(_request: Request) -> Response:
    return Response(204)


@pytest.mark.parametrize(
    ("route", "further"),
    [
        (Route("GET", "/x", handler), {413}),
        (Route("GET", "/x", handler, access="client"), {401, 403, 413}),
        (Route("GET", "/x", handler, access="application"), {401, 413}),
        (Route("POST", "/x", handler, body=SendRequest), {411, 413, 415}),
        (Route("POST", "/x", handler, stream_body=True), {411, 415}),
        (Route("GET", "/x/{name}", handler), {404, 413}),
        (Route("GET", "/x", handler, doc=OperationDoc((), errors=(426, 429))), {413, 426, 429}),
    ],
)
def test_the_errors_of_a_route_follow_from_what_it_does(route: Route, further: set[int]) -> None:
    statuses = openapi.error_statuses(route)
    assert statuses == sorted(ANY_REQUEST | further)
