"""api/routes/table.py: all routes, and what each requires."""

from tests.helpers.fakes_asyncio import new_api

from headrace.api.router import Route
from headrace.api.routes.table import all_routes, split_routes

ACCESS = {
    "client": {
        "GET /v1/connect",
        "GET /v1/events",
        "GET /v1/poll",
        "POST /v1/messages",
    },
    "application": {
        "POST /v1/channels",
        "DELETE /v1/channels/{client_id}",
        "POST /v1/send",
        "POST /v1/send/batch",
        "GET /v1/presence/{client_id}",
        "GET /v1/presence",
        "PUT /v1/groups/{group}/members/{client_id}",
        "DELETE /v1/groups/{group}/members/{client_id}",
        "GET /v1/stats",
    },
    "open": {
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "GET /openapi.json",
        "GET /headrace.js",
        "GET /_ah/channel/jsapi",
    },
}
DEMO = {"GET /": "open", "POST /demo/join": "client"}


def test_every_route_of_the_contract_with_its_access() -> None:
    routes = {f"{route.method} {route.path}": route for route in all_routes(new_api())}
    found: dict[str, set[str]] = {access: set() for access in ACCESS}
    for name, route in routes.items():
        found[route.access].add(name)
    assert found == ACCESS


def test_the_demo_adds_its_routes() -> None:
    own = {(route.method, route.path) for route in all_routes(new_api())}
    added = [
        route for route in all_routes(new_api(demo=True)) if (route.method, route.path) not in own
    ]
    assert {f"{route.method} {route.path}": route.access for route in added} == DEMO


def test_only_the_two_streams_have_no_handler() -> None:
    without = [route.path for route in all_routes(new_api()) if route.handler is None]
    assert without == ["/v1/connect", "/v1/events"]


def test_what_is_special_about_some_routes() -> None:
    routes = all_routes(new_api(demo=True))
    special = {
        name: {route.path for route in routes if getattr(route, name)}
        for name in ("cancel_on_disconnect", "stream_body", "run_in_task", "requires_token")
    }
    assert special == {
        "cancel_on_disconnect": {"/v1/poll"},
        "stream_body": {"/v1/send/batch"},
        "run_in_task": {"/v1/messages"},
        "requires_token": {"/v1/messages"},
    }


def test_the_second_address_serves_the_application_and_probes() -> None:
    own = Route("GET", "/own"), Route("GET", "/own/admin", access="application")
    clients, admin = split_routes((*all_routes(new_api(demo=True)), *own))
    assert {route.path for route in clients if route.access == "open"} == {
        "/",
        "/_ah/channel/jsapi",
        "/headrace.js",
        "/own",
    }
    assert not any(route.access == "application" for route in clients)
    assert not any(route.access == "client" for route in admin)
    assert {route.path for route in admin if route.access == "open"} == {
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    }
