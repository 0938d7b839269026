"""The short handlers in api/routes: channels, send, groups, presence, update_messages.

Each passes its request to the hub, and returns the hub's answer in the form of the contract.
"""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from tests.helpers.fakes import MemorySink, claims_of
from tests.helpers.fakes_asyncio import API_KEY, FakeApplication, new_hub, request_head

from headrace.api.context import ApiContext
from headrace.api.dispatcher import Dispatcher
from headrace.api.hub import Hub
from headrace.api.responses import REPORTED_ERRORS, Response
from headrace.api.router import Match
from headrace.api.routes.table import all_routes


class Bench:
    """Requests with the API key, or with a client's token, to a running hub."""

    def __init__(self, hub: Hub, application: FakeApplication) -> None:
        self.hub = hub
        self.application = application
        self.context = ApiContext(hub)
        self.dispatcher = Dispatcher(self.context, all_routes(self.context))

    async def ask(
        self, method: str, target: str, body: object = None, *, token: str = API_KEY
    ) -> tuple[int, Any]:
        """Return the status and the decoded body of the response."""
        data = b"" if body is None else msgspec.json.encode(body)
        headers = {"authorization": f"Bearer {token}"}
        if body is not None:
            headers["content-type"] = "application/json"
        head = request_head(method, target, headers, body=data)
        try:
            match = self.dispatcher.begin(head)
            assert isinstance(match, Match)
            response = await self.dispatcher.respond(match, head, data)
        except REPORTED_ERRORS as error:
            response = self.dispatcher.refuse(head, error)
        assert isinstance(response, Response)
        return response.status, msgspec.json.decode(response.body)

    async def detail(self, method: str, target: str, body: object = None) -> tuple[int, str]:
        """Return the status and the detail of an error response."""
        status, problem = await self.ask(method, target, body)
        return status, problem["detail"]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    application = FakeApplication()
    async with new_hub(application) as hub:
        yield Bench(hub, application)


# --- channels --------------------------------------------------------------------------------


async def test_create_a_channel(bench: Bench) -> None:
    body = {"client_id": "ada", "duration_minutes": 5.0, "groups": ["g"], "send": ["client:*"]}
    status, answer = await bench.ask("POST", "/v1/channels", body)
    assert status == 200
    assert set(answer) == {"token", "client_id", "expires_at"}
    claims = bench.hub.verify(answer["token"])
    assert (claims.sub, claims.groups, claims.send) == ("ada", ("g",), ("client:*",))
    assert claims.iat is not None
    assert round(claims.exp - claims.iat, 3) == 300
    assert answer["expires_at"] == claims.exp


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (5.5, "duration_minutes is 5.5; it must be a whole number"),
        (0, "1 to 1440"),
        (1441, "1 to 1440"),
    ],
)
async def test_a_lifetime_that_cannot_be_used(bench: Bench, minutes: float, text: str) -> None:
    body = {"client_id": "ada", "duration_minutes": minutes}
    status, detail = await bench.detail("POST", "/v1/channels", body)
    assert status == 400
    assert text in detail


async def test_revoke_a_client_s_tokens(bench: Bench) -> None:
    sink = MemorySink()
    bench.hub.core.attach(claims_of("a/b"), sink)
    answer = await bench.ask("DELETE", f"/v1/channels/{quote('a/b', safe='')}")
    assert answer == (200, {"client_id": "a/b", "sessions": 1})
    assert sink.close_codes == [4003]


# --- send ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", [{"to": "ada"}, {"to": ["ada", "bob"]}, {"group": "lobby"}, {"everyone": True}]
)
async def test_send(bench: Bench, target: dict[str, Any]) -> None:
    sink = MemorySink()
    bench.hub.core.attach(claims_of("ada", groups=("lobby",)), sink)
    status, answer = await bench.ask("POST", "/v1/send", {"data": "x", **target})
    assert status == 200
    bench.hub.core.flush()
    assert answer == {"id": str(sink.messages[0].position), "sessions": 1}


async def test_a_repeated_send_gets_the_first_response(bench: Bench) -> None:
    body = {"data": "x", "to": "ada", "idempotency_key": "k"}
    assert await bench.ask("POST", "/v1/send", body) == await bench.ask("POST", "/v1/send", body)
    assert bench.hub.core.counters.messages == 1


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"data": "x"}, 400, "a send needs exactly one target"),
        ({"data": "x", "to": []}, 400, "a send needs exactly one target"),
        ({"data": "x" * 32769, "to": "ada"}, 413, "a message holds at most 32768"),
        ({"data": {}, "to": "ada"}, 400, '"data" is a string; JSON-encode any other value'),
        ({"data": "x", "to": "ada", "idempotency_key": ""}, 400, "idempotency_key"),
    ],
)
async def test_a_send_that_is_refused(
    bench: Bench, body: dict[str, Any], status: int, text: str
) -> None:
    found, detail = await bench.detail("POST", "/v1/send", body)
    assert found == status
    assert text in detail


# --- groups and presence ---------------------------------------------------------------------


async def test_join_and_leave(bench: Bench) -> None:
    session = bench.hub.core.attach(claims_of("é"), MemorySink())
    target = f"/v1/groups/{quote('a/b', safe='')}/members/{quote('é')}"
    expected = {"group": "a/b", "client_id": "é", "sessions": 1}
    assert await bench.ask("PUT", target) == (200, expected | {"member": True})
    assert set(session.groups) == {"a/b"}
    assert await bench.ask("DELETE", target) == (200, expected | {"member": False})
    assert not session.groups


async def test_presence(bench: Bench) -> None:
    bench.hub.core.attach(claims_of("ada", groups=("lobby",)), MemorySink())
    status, ada = await bench.ask("GET", "/v1/presence/ada")
    assert (status, ada["online"], ada["sessions"]) == (200, True, 1)
    assert await bench.ask("GET", "/v1/presence?group=lobby") == (
        200,
        {"group": "lobby", "count": 1, "clients": [ada]},
    )
    assert await bench.ask("GET", "/v1/presence/bob") == (
        200,
        {"client_id": "bob", "online": False, "since": None, "sessions": 0},
    )
    status, detail = await bench.detail("GET", "/v1/presence")
    assert (status, detail) == (400, "name the group: `?group=…`, percent-encoded")


# --- update-messages -------------------------------------------------------------------------


async def test_a_relayed_message_is_200_and_one_for_the_application_202(bench: Bench) -> None:
    token = bench.hub.create_channel("ada", send=["group:lobby"]).token
    status, answer = await bench.ask(
        "POST", "/v1/messages", {"data": "x", "group": "lobby"}, token=token
    )
    assert (status, answer) == (200, {"id": str(bench.hub.core.history.latest), "sessions": 0})
    answer = await bench.ask("POST", "/v1/messages", {"data": "y"}, token=token)
    assert answer == (202, {"status": "accepted"})
    assert [message.data for message in bench.application.messages] == ["y"]


async def test_an_update_message_needs_a_client_s_token(bench: Bench) -> None:
    status, answer = await bench.ask("POST", "/v1/messages", {"data": "x"})
    assert (status, answer["detail"]) == (401, "Invalid+token.")
