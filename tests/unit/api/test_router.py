"""api/router.py: finding routes, and requests as handlers see them."""

import pytest
from tests.helpers.fakes_asyncio import new_api, request_head

from headrace.api.responses import Response
from headrace.api.router import Access, Match, Request, Route, Router
from headrace.errors import RequestError


async def handler(request: Request) -> Response:
    return Response(204)


SEND = Route("POST", "/v1/send", handler, access="application")
STATS = Route("GET", "/v1/stats", handler, access="application")
MEMBER_PUT = Route("PUT", "/v1/groups/{group}/members/{client_id}", handler)
MEMBER_DELETE = Route("DELETE", "/v1/groups/{group}/members/{client_id}", handler)
POLL = Route("GET", "/v1/poll", handler, access="client")
CHANNEL = Route("DELETE", "/v1/channels/{client_id}", handler, access="application")
CHANNELS = Route("POST", "/v1/channels", handler, access="application")
CHANNEL_NEW = Route("GET", "/v1/channels/new", handler)

ROUTER = Router([SEND, STATS, MEMBER_PUT, MEMBER_DELETE, POLL, CHANNEL, CHANNELS, CHANNEL_NEW])


def refusal(method: str, path: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        ROUTER.match(method, path)
    return caught.value


# --- matching --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", "/v1/send", SEND),
        ("GET", "/v1/stats", STATS),
        ("HEAD", "/v1/stats", STATS),
        ("POST", "/v1/channels", CHANNELS),
        ("GET", "/v1/channels/new", CHANNEL_NEW),
    ],
)
def test_a_fixed_path(method: str, path: str, route: Route) -> None:
    assert ROUTER.match(method, path) == Match(route, {})


def test_the_fast_path_has_the_routes_without_parameters() -> None:
    assert ROUTER.fixed[("POST", "/v1/send")] == Match(SEND, {})
    assert {path for _, path in ROUTER.fixed} == {
        "/v1/send",
        "/v1/stats",
        "/v1/poll",
        "/v1/channels",
        "/v1/channels/new",
    }


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/groups/lobby/members/ada", {"group": "lobby", "client_id": "ada"}),
        ("/v1/groups/a%2Fb/members/%C3%A9%20+", {"group": "a/b", "client_id": "é +"}),
        ("/v1/groups/%2E%2E/members/%25", {"group": "..", "client_id": "%"}),
        ("/v1/groups//members/", {"group": "", "client_id": ""}),
    ],
)
def test_parameters_are_percent_decoded(path: str, params: dict[str, str]) -> None:
    assert ROUTER.match("PUT", path) == Match(MEMBER_PUT, params)
    assert ROUTER.match("DELETE", path).route is MEMBER_DELETE


def test_a_parameter_that_is_not_utf8() -> None:
    error = refusal("DELETE", "/v1/channels/%ff")
    assert error.status == 400
    assert "'%ff' is not percent-encoded UTF-8" in error.detail


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/send/", "/v1/send/x", "//v1/send", "/v1/groups/a/members", "/V1/SEND"]
)
def test_an_unknown_path_is_404(path: str) -> None:
    error = refusal("GET", path)
    assert (error.status, error.detail) == (404, f"there is nothing at {path}")


def test_a_long_unknown_path_is_shown_in_part() -> None:
    assert refusal("GET", "/" + "x" * 5000).detail == "there is nothing at /" + "x" * 99


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/send", "POST, OPTIONS"),
        ("HEAD", "/v1/send", "POST, OPTIONS"),
        ("POST", "/v1/stats", "GET, HEAD, OPTIONS"),
        ("GET", "/v1/groups/a/members/b", "PUT, DELETE, OPTIONS"),
    ],
)
def test_a_wrong_method_is_405_with_allow(method: str, path: str, allowed: str) -> None:
    error = refusal(method, path)
    assert error.status == 405
    assert error.headers == (("allow", allowed),)
    assert error.detail == f"{path} takes {allowed}, not {method}"


def test_options_and_access_of_a_path() -> None:
    assert ROUTER.options("/v1/poll") == ("GET, HEAD, OPTIONS", "client")
    assert ROUTER.options("/v1/channels/ada") == ("DELETE, OPTIONS", "application")
    with pytest.raises(RequestError):
        ROUTER.options("/nothing")
    accesses: list[Access | None] = [ROUTER.access(path) for path in ("/v1/send", "/nothing")]
    assert accesses == ["application", None]


# --- requests --------------------------------------------------------------------------------


def test_a_request_gives_its_handler_what_was_sent() -> None:
    context = new_api()
    head = request_head(
        "PUT", "/a%20b?x=%20y", {"Authorization": "Bearer t", "X-Name": "value"}, body=b"{}"
    )
    request = Request(context, head, {"name": "value"}, {"decoded": True})
    assert request.hub is context.hub
    assert (request.method, request.path) == ("PUT", "/a%20b")
    assert (request.query("x"), request.query("y")) == (" y", None)
    assert (request.header("x-name"), request.header("x-other")) == ("value", None)
    assert request.bearer_token == "t"
    assert (request.params, request.body) == ({"name": "value"}, {"decoded": True})


def test_two_routes_are_never_equal() -> None:
    """They are keys of the dispatcher's decoders."""
    assert Route("GET", "/x", handler) != Route("GET", "/x", handler)
    assert len({Route("GET", "/x", handler), Route("GET", "/x", handler)}) == 2
