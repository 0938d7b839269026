"""api/routes/demo.py: who may join the room, and which messages a new visitor receives."""

from typing import Any

import msgspec
import pytest
from tests.helpers.fakes import ManualClock, MemorySink
from tests.helpers.fakes_asyncio import new_hub, request_head

from headrace.api.context import ApiContext
from headrace.api.hub import Hub
from headrace.api.responses import Response
from headrace.api.router import Request
from headrace.api.routes.demo import ROOM, JoinRequest, join
from headrace.auth.tokens import Claims
from headrace.errors import ForbiddenError, InputError
from headrace.messages.wire import ChannelResponse


async def join_room(hub: Hub, name: str, token: str | None = None) -> tuple[str, Claims]:
    """Return the token of the response, and its claims."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    head = request_head("POST", "/demo/join", headers)
    response = await join(Request(ApiContext(hub, demo=True), head, {}, JoinRequest(name)))
    assert isinstance(response, Response)
    channel = msgspec.json.decode(response.body, type=ChannelResponse)
    return channel.token, hub.verify(channel.token)


def connect(hub: Hub, claims: Claims) -> MemorySink:
    sink = MemorySink()
    hub.core.attach(claims, sink)
    hub.core.flush()
    return sink


async def test_a_new_visitor_receives_the_messages_of_the_room_that_are_kept() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks, history_max_age_s=120) as hub:
        await hub.send("too old", group=ROOM)
        await hub.send("too old, for another client", to="somebody")
        clock.advance(100)
        await hub.send("kept", group=ROOM)
        clock.advance(21)
        hub.core.expire()
        await hub.send("for everyone", everyone=True)
        _, claims = await join_room(hub, "Ann")
        sink = connect(hub, claims)
        assert sink.opened["recovered"] is None
        assert sink.data == ["kept", "for everyone"]


async def test_a_visitor_may_listen_and_send_in_the_room() -> None:
    async with new_hub() as hub:
        _, claims = await join_room(hub, "  Ann ")
        assert claims.sub.startswith("Ann/")
        assert (claims.groups, claims.send) == ((ROOM,), (f"group:{ROOM}",))


async def test_visitors_with_one_name_are_different_clients() -> None:
    async with new_hub() as hub:
        clients = {(await join_room(hub, "Ann"))[1].sub for _ in range(3)}
        assert len(clients) == 3


async def test_a_renewed_token_keeps_the_client_id_and_repeats_no_messages() -> None:
    async with new_hub(clocks=ManualClock().clocks) as hub:
        token, first = await join_room(hub, "Ann")
        await hub.send("received", group=ROOM)
        _, renewed = await join_room(hub, "Somebody else", token)
        assert renewed.sub == first.sub
        assert renewed.pos is None
        assert connect(hub, renewed).data == []


@pytest.mark.parametrize("name", ["", " ", "x" * 41])
async def test_an_invalid_name_is_refused(name: str) -> None:
    async with new_hub() as hub:
        with pytest.raises(InputError, match="1 to 40 characters"):
            await join_room(hub, name)


@pytest.mark.parametrize(
    ("origin", "settings", "is_allowed"),
    [
        ("http://localhost:8080", {}, True),
        ("http://[::1]:8080", {}, True),
        ("http://attacker.example:8080", {}, False),
        ("http://attacker.example:8080", {"host": "192.0.2.1"}, True),
        ("https://demo.example", {"allowed_origins": ("https://demo.example",)}, True),
    ],
)
async def test_on_loopback_a_page_of_another_site_may_not_join(
    origin: str, settings: dict[str, Any], is_allowed: bool
) -> None:
    async with new_hub(**settings) as hub:
        head = request_head("POST", "/demo/join", {"origin": origin, "host": origin[7:]})
        asked = Request(ApiContext(hub, demo=True), head, {}, JoinRequest("Ann"))
        if is_allowed:
            assert (await join(asked)).status == 200
        else:
            with pytest.raises(ForbiddenError, match="loopback"):
                await join(asked)
