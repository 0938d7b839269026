"""The document of the routes: complete, well-formed, and with the limits in force."""

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis

from headrace import codes, limits
from headrace.api import answers, openapi
from headrace.api.answers import Answer
from headrace.api.idempotency import Once
from headrace.api.node import Node
from headrace.api.openapi import Problem, TokenProblem
from headrace.api.routes import routes_of
from headrace.api.routing import Access, Call, Route
from headrace.errors import ExpiredTokenError, InvalidTokenError, RequestError, RevokedTokenError
from headrace.hub import Clocks, Hub
from headrace.protocol.request import Request
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


def node_with(settings: Settings = SETTINGS, *, demo: bool = False) -> Node:
    hub = Hub(settings, Clocks(lambda: 0.0, lambda: 1e9), lambda flush: None)
    return Node(settings, hub, demo=demo)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as a client decodes it."""
    made = openapi.document(routes_of(node_with()), SETTINGS)
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


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()


def test_what_is_not_openapi_would_be_seen(document: dict[str, Any]) -> None:
    broken = copy.deepcopy(document)
    del broken["paths"]["/healthz"]["get"]["responses"]["200"]["description"]
    with pytest.raises(Exception, match='"description" is a required property'):
        schemathesis.openapi.from_dict(broken).validate()


def test_it_has_every_route_of_the_contract(document: dict[str, Any]) -> None:
    missing = set(CONTRACT.split("\n")) - {""} - set(operations(document))
    assert not missing


def test_it_has_every_route_but_the_demos() -> None:
    own = operations(openapi.document(routes_of(node_with()), SETTINGS))
    routes = routes_of(node_with(demo=True))
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


def test_references_lead_somewhere_and_nothing_is_unused(document: dict[str, Any]) -> None:
    found = set(references(document))
    there = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses")
        for name in document["components"][kind]
    }
    assert found == there


def test_keys_are_asked_for_where_they_are_checked(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    for name, operation in operations(document).items():
        asked = [key for alternative in operation.get("security", []) for key in alternative]
        assert set(asked) <= set(schemes)
        assert bool(asked) == ("401" in operation["responses"]), name
        assert operation["tags"] == [
            "open" if not asked else "application" if "applicationKey" in asked else "client"
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


def test_names_are_what_they_are_everywhere(document: dict[str, Any]) -> None:
    """A text that is called the same is the same, in bodies, answers and parameters."""
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


def test_close_codes_are_in_the_words(document: dict[str, Any]) -> None:
    text = document["paths"]["/v1/connect"]["get"]["description"]
    for code, reason in codes.REASONS.items():
        assert f"- {code}: {reason}" in text


def test_a_route_that_says_nothing_is_named() -> None:
    async def silent(_call: Call) -> Answer:
        return Answer(204)

    with pytest.raises(AssertionError, match="PUT /silent"):
        openapi.document([Route("PUT", "/silent", Access.OPEN, silent)], SETTINGS)


async def test_it_is_built_once() -> None:
    node = node_with()
    route = routes_of(node)[-1]
    assert route.path == "/openapi.json"
    assert route.handler is not None
    request = Request("GET", route.path, route.path, "", (), "1.1")
    call = Call(node, request, {}, None)
    assert (await route.handler(call)) is (await route.handler(call))


class StrictProblem(Problem, frozen=True, forbid_unknown_fields=True):
    pass


class StrictTokenProblem(TokenProblem, frozen=True, forbid_unknown_fields=True):
    pass


def test_problems_are_as_described() -> None:
    body = answers.problem(RequestError(404, "nothing here")).body
    assert msgspec.json.decode(body, type=StrictProblem).status == 404
    for kind in (InvalidTokenError, ExpiredTokenError, RevokedTokenError):
        body = answers.problem(kind("why")).body
        problem = msgspec.json.decode(body, type=StrictTokenProblem)
        assert (problem.code, problem.reason) == (kind.close_code, "why")


async def test_who_shares_a_send_that_failed_is_told_when_to_try_again() -> None:
    once: Once[int] = Once(lambda: 0.0)
    began, shared = asyncio.Event(), asyncio.Event()

    async def fail() -> int:
        began.set()
        await shared.wait()
        raise ZeroDivisionError

    first = asyncio.create_task(once.do("key", fail))
    await began.wait()
    asyncio.get_running_loop().call_soon(shared.set)
    with pytest.raises(RequestError) as caught:
        await once.do("key", fail)
    with pytest.raises(ZeroDivisionError):
        await first
    assert caught.value.status == 503
    assert dict(caught.value.headers) == {"retry-after": str(limits.RETRY_AFTER_S)}
