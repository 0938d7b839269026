"""api/dispatcher.py: access, bodies, handlers, errors, CORS."""

import logging
from typing import Any

import msgspec
import pytest
from tests.helpers.fakes import UNIX_S, run_now
from tests.helpers.fakes_asyncio import API_KEY, new_api, request_head

from headrace.api.dispatcher import Dispatcher
from headrace.api.responses import Response
from headrace.api.router import Match, Request, Route
from headrace.errors import (
    ForbiddenError,
    HeadraceError,
    InvalidTokenError,
    RequestError,
    UnavailableError,
)
from headrace.protocol.http.events import RequestHead

ORIGIN = "https://ok.example"
JSON = {"content-type": "application/json"}
KEY = {"authorization": f"Bearer {API_KEY}"}


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    data: str


async def echo(request: Request) -> Response:
    return Response.json({"body": request.body, "params": dict(request.params)})


async def fail(request: Request) -> Response:
    raise LookupError("a secret of the application's")


async def refuse(request: Request) -> Response:
    raise UnavailableError("not now")


ROUTES = (
    Route("GET", "/open", echo),
    Route("GET", "/open/{name}", echo),
    Route("POST", "/order", echo, body=Order),
    Route("POST", "/batch", echo, stream_body=True),
    Route("GET", "/key", echo, access="application"),
    Route("GET", "/page", echo, access="client"),
    Route("POST", "/page/order", echo, access="client", body=Order, requires_token=True),
    Route("GET", "/fail", fail, access="client"),
    Route("GET", "/refuse", refuse, access="client"),
)


class Bench:
    def __init__(self) -> None:
        self.context = new_api(allowed_origins=(ORIGIN,))
        self.dispatcher = Dispatcher(self.context, ROUTES)

    def begin(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Match | Response:
        return self.dispatcher.begin(request_head(method, target, headers, body=body))

    def status(self, method: str, target: str, headers: dict[str, str] | None = None) -> int:
        """Return the status of the refusal by the head, or 0 if the request may go on."""
        try:
            found = self.begin(method, target, headers)
        except HeadraceError as error:
            return self.dispatcher.refuse(request_head(method, target, headers), error).status
        return 0 if isinstance(found, Match) else found.status

    def respond(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Response:
        head = request_head(method, target, headers, body=body)
        match = self.dispatcher.begin(head)
        assert isinstance(match, Match)
        response = run_now(self.dispatcher.respond(match, head, body))
        assert isinstance(response, Response)
        return response

    def token(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.context.hub.signer.mint('ada', now=UNIX_S).token}"}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def decoded(response: Response) -> Any:
    return msgspec.json.decode(response.body)


# --- routes and access -----------------------------------------------------------------------


def test_a_route_is_found(bench: Bench) -> None:
    assert bench.begin("GET", "/open?x=1") == Match(ROUTES[0], {})
    assert bench.begin("HEAD", "/open") == Match(ROUTES[0], {})
    assert bench.begin("GET", "/open/a%2Fb") == Match(ROUTES[1], {"name": "a/b"})
    assert (bench.status("GET", "/nothing"), bench.status("PUT", "/open")) == (404, 405)


def test_an_application_s_route_needs_the_key(bench: Bench) -> None:
    assert bench.status("GET", "/key", KEY) == 0
    assert bench.status("GET", "/key", {"authorization": f"bearer  {API_KEY} "}) == 0
    assert bench.status("GET", "/key") == 401
    assert bench.status("GET", "/key", {"authorization": "Bearer x"}) == 401
    bench.context.use_api_key("newer")
    assert bench.status("GET", "/key", KEY) == 401
    assert bench.status("GET", "/key", {"authorization": "Bearer newer"}) == 0
    bench.context.use_api_key(None)
    for authorization in ("", "Bearer ", "Bearer None", "Bearer newer"):
        assert bench.status("GET", "/key", {"authorization": authorization}) == 401


def test_a_client_s_route_needs_an_allowed_origin(bench: Bench) -> None:
    assert bench.status("GET", "/page") == 0  # not a page of another origin
    assert bench.status("GET", "/page", {"origin": ORIGIN}) == 0
    same = {"origin": "https://headrace.test", "host": "headrace.test"}
    assert bench.status("GET", "/page", same) == 0
    with pytest.raises(ForbiddenError, match=r"pages of https://evil.example may not connect"):
        bench.begin("GET", "/page", {"origin": "https://evil.example"})
    assert bench.status("GET", "/open", {"origin": "https://evil.example"}) == 0


def test_a_token_can_be_required_before_the_body(bench: Bench) -> None:
    headers = JSON | {"content-length": "9"}
    with pytest.raises(InvalidTokenError):
        bench.begin("POST", "/page/order", headers)
    assert bench.status("POST", "/page/order", headers | bench.token()) == 0


# --- bodies ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/order", JSON | {"content-length": "9"}, 0),
        ("/order", JSON | {"transfer-encoding": "chunked"}, 0),
        ("/order", {"content-type": "application/JSON ; charset=utf-8", "content-length": "9"}, 0),
        ("/order", {"content-length": "9"}, 0),
        ("/order", JSON, 411),
        ("/order", {"content-type": "text/plain", "content-length": "9"}, 415),
        ("/order", {"content-type": "application/x-ndjson", "content-length": "9"}, 415),
        ("/batch", {"content-type": "application/x-ndjson", "content-length": "9"}, 0),
        ("/batch", {"content-type": "application/jsonl", "transfer-encoding": "chunked"}, 0),
        ("/batch", JSON | {"content-length": "9"}, 0),
        ("/batch", {"content-type": "text/plain", "content-length": "9"}, 415),
        ("/batch", {"content-type": "application/x-ndjson"}, 411),
    ],
)
def test_length_and_type_of_a_body(
    bench: Bench, path: str, headers: dict[str, str], status: int
) -> None:
    assert bench.status("POST", path, headers) == status


def test_a_handler_gets_the_decoded_body(bench: Bench) -> None:
    response = bench.respond("POST", "/order", JSON, b'{"data":"x"}')
    assert decoded(response) == {"body": {"data": "x"}, "params": {}}
    assert decoded(bench.respond("GET", "/open/a"))["params"] == {"name": "a"}


def test_the_body_of_a_route_without_one_is_ignored(bench: Bench) -> None:
    response = bench.respond("GET", "/open", None, b"not JSON")
    assert decoded(response)["body"] is None


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"data":5}', b'{"data":"x","t":1}', b"\xff"])
def test_a_body_that_cannot_be_decoded_is_400(bench: Bench, body: bytes) -> None:
    response = bench.respond("POST", "/order", JSON, body)
    assert response.status == 400
    assert decoded(response)["detail"].startswith("the body is not valid: ")


# --- errors ----------------------------------------------------------------------------------


def test_a_reported_error_becomes_a_problem_document(bench: Bench) -> None:
    response = bench.respond("GET", "/refuse")
    assert response.status == 503
    assert decoded(response)["detail"] == "not now"


def test_any_other_exception_is_500_and_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "headrace"):
        response = bench.respond("GET", "/fail?token=secret")
    assert response.status == 500
    assert b"secret" not in response.body
    assert "GET /fail failed" in caplog.text
    assert "a secret of the application's" in caplog.text  # its traceback
    assert "token=secret" not in caplog.text


# --- CORS ------------------------------------------------------------------------------------


def test_every_response_of_a_client_s_route_has_cors_headers(bench: Bench) -> None:
    page = {"origin": ORIGIN}
    for response in (
        bench.respond("GET", "/page", page),
        bench.respond("GET", "/fail", page),
        bench.respond("GET", "/refuse", page),
        bench.dispatcher.refuse(request_head("GET", "/page", page), RequestError(413, "x")),
    ):
        headers = dict(response.headers)
        assert headers["access-control-allow-origin"] == ORIGIN
        assert headers["access-control-expose-headers"] == "retry-after"
        assert headers["vary"] == "origin"


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/page", {}),
        ("/page", {"origin": "https://evil.example"}),
        ("/open", {"origin": ORIGIN}),
        ("/nothing", {"origin": ORIGIN}),
    ],
)
def test_other_responses_have_none(bench: Bench, target: str, headers: dict[str, str]) -> None:
    head = request_head("GET", target, headers)
    response = bench.dispatcher.refuse(head, RequestError(400, "x"))
    assert "access-control-allow-origin" not in dict(response.headers)


def test_a_connection_without_a_request_can_be_refused(bench: Bench) -> None:
    response = bench.dispatcher.refuse(None, UnavailableError("full"))
    assert (response.status, dict(response.headers)["retry-after"]) == (503, "5")


def options(bench: Bench, target: str, headers: dict[str, str] | None = None) -> dict[str, str]:
    response = bench.begin("OPTIONS", target, headers)
    assert isinstance(response, Response)
    assert (response.status, response.body) == (204, b"")
    return dict(response.headers)


def test_options_lists_the_methods(bench: Bench) -> None:
    assert options(bench, "*") == {}
    assert options(bench, "/open") == {"allow": "GET, HEAD, OPTIONS"}
    assert options(bench, "/key", {"origin": ORIGIN}) == {"allow": "GET, HEAD, OPTIONS"}
    assert options(bench, "/page") == {"allow": "GET, HEAD, OPTIONS"}
    assert bench.status("OPTIONS", "/nothing") == 404


def test_a_preflight(bench: Bench) -> None:
    assert options(bench, "/page/order", {"origin": ORIGIN}) == {
        "allow": "POST, OPTIONS",
        "access-control-allow-methods": "POST, OPTIONS",
        "access-control-allow-headers": "authorization, content-type, last-event-id",
        "access-control-max-age": "600",
        "access-control-allow-origin": ORIGIN,
        "access-control-expose-headers": "retry-after",
        "vary": "origin",
    }
    assert bench.status("OPTIONS", "/page/order", {"origin": "https://evil.example"}) == 403


def test_the_context_is_that_of_the_routes(bench: Bench) -> None:
    assert bench.dispatcher.context is bench.context


def test_a_head_without_fields_is_handled(bench: Bench) -> None:
    head = RequestHead.from_headers("GET", "/page", "/page", "", ())
    assert isinstance(bench.dispatcher.begin(head), Match)


# --- limits ----------------------------------------------------------------------------------


def test_the_body_of_a_client_is_limited_by_the_longest_message() -> None:
    dispatcher = Dispatcher(new_api(message_max_bytes=1000), ())
    own = Route("POST", "/", echo, access="client", body_max_bytes=4096)
    for route, expected in [
        (Route("POST", "/", echo, access="client"), 6 * 1000 + 64 * 1024),
        (Route("POST", "/", echo, access="application"), 1024 * 1024),
        (Route("POST", "/", echo), 1024 * 1024),
        (own, 4096),
    ]:
        assert dispatcher.body_max_bytes(route) == expected
    large = Dispatcher(new_api(message_max_bytes=1024 * 1024), ())
    assert large.body_max_bytes(Route("POST", "/", echo, access="client")) == 1024 * 1024


def test_only_a_valid_token_names_the_client_of_a_request() -> None:
    api = new_api()
    dispatcher = Dispatcher(api, ())
    token = api.hub.signer.mint("ada", now=UNIX_S).token
    client, application = Route("GET", "/", access="client"), Route("GET", "/")
    head = request_head("GET", f"/?token={token}")
    assert dispatcher.client_id_of(client, head) == "ada"
    assert dispatcher.client_id_of(application, head) is None
    assert dispatcher.client_id_of(client, request_head("GET", "/?token=x")) is None
