"""adapters/hosted_api.py: what the adapters share."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from tests.helpers.hosts import hub_for_host
from tests.helpers.site import API_KEY, mint

from headrace import limits
from headrace.adapters.hosted_api import HostedApi
from headrace.api.body_stream import StreamedResponse
from headrace.api.responses import Response
from headrace.api.router import Match
from headrace.errors import StateError
from headrace.hub.lifecycle import LifeState
from headrace.protocol.http.events import RequestHead


def head_of(method: str, path: str, query: str = "", **headers: str) -> RequestHead:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return RequestHead.from_headers(method, path, path, query, pairs)


async def chunks(*pieces: bytes) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        yield piece


async def never() -> None:
    await asyncio.Event().wait()


async def test_application_routes_are_an_option() -> None:
    async with hub_for_host() as hub:
        paths = [
            {route.path for route in HostedApi(hub, application_routes=flag, demo=False).routes}
            for flag in (False, True)
        ]
    assert paths[0] == {
        "/v1/connect",
        "/v1/events",
        "/v1/poll",
        "/v1/messages",
        "/_ah/channel/jsapi",
        "/headrace.js",
        "/healthz",
        "/readyz",
    }
    assert paths[1] - paths[0] >= {"/v1/send", "/v1/channels", "/metrics", "/openapi.json"}


async def test_hub_of_another_loop_and_hub_without_a_start_are_errors() -> None:
    hub = hub_for_host()
    api = HostedApi(hub, application_routes=False, demo=False)
    with pytest.raises(StateError, match="async with"):
        api.begin(head_of("GET", "/healthz"))
    await hub.start()

    async def begin() -> None:
        with pytest.raises(StateError, match="another event loop"):
            api.begin(head_of("GET", "/healthz"))

    await asyncio.to_thread(asyncio.run, begin())
    await hub.close()


async def test_only_a_new_hub_is_started() -> None:
    hub = hub_for_host()
    api = HostedApi(hub, application_routes=False, demo=False)
    assert await api.start_new_hub() is True
    assert hub.life.state is LifeState.SERVING
    assert await api.start_new_hub() is False
    await hub.close()


async def test_body_over_the_limit_is_not_read() -> None:
    async with hub_for_host() as hub:
        api = HostedApi(hub, application_routes=False, demo=False)
        length = str(limits.BODY_MAX_BYTES + 1)
        head = head_of("POST", "/v1/messages", f"token={mint()}", content_length=length)
        match = api.begin(head)
        assert isinstance(match, Match)

        async def unread() -> AsyncGenerator[bytes, None]:
            yield b""
            raise AssertionError("the body was read")

        response = await api.respond(match, head, unread(), never)
        assert response.status == 413


async def test_handler_that_waits_is_cancelled_on_disconnect() -> None:
    async with hub_for_host() as hub:
        api = HostedApi(hub, application_routes=False, demo=False)
        head = head_of("GET", "/v1/poll", f"token={mint()}")
        match = api.begin(head)
        assert isinstance(match, Match)

        async def disconnected() -> None:
            await asyncio.sleep(0)  # the handler begins
            assert len(hub.core.sessions) == 1

        with pytest.raises(ConnectionResetError):
            await api.respond(match, head, chunks(), disconnected)
        assert not hub.core.sessions


async def test_response_to_a_body_that_is_cut_short_is_cut_short() -> None:
    async with hub_for_host() as hub:
        api = HostedApi(hub, application_routes=True, demo=False)
        head = head_of(
            "POST",
            "/v1/send/batch",
            authorization=f"Bearer {API_KEY}",
            transfer_encoding="chunked",
        )
        match = api.begin(head)
        assert isinstance(match, Match)

        async def cut() -> AsyncGenerator[bytes, None]:
            yield b'{"to":"alice","data":"1"}\n'
            raise ConnectionResetError

        response = await api.respond(match, head, cut(), never)
        assert isinstance(response, StreamedResponse)
        assert b'"id"' in await anext(response.pieces)
        with pytest.raises(ConnectionResetError):
            await anext(response.pieces)


async def test_refusals() -> None:
    async with hub_for_host() as hub:
        api = HostedApi(hub, application_routes=False, demo=False)
        for head, status in (
            (head_of("GET", "/v1/connect"), 401),
            (head_of("GET", "/v1/poll"), 404),
            (head_of("GET", "/nothing"), 404),
            (head_of("GET", "/v1/connect", origin="https://evil.example", host="x"), 403),
        ):
            refused = api.begin_websocket(head)
            assert isinstance(refused, Response)
            assert refused.status == status
        head = head_of("GET", "/v1/connect")
        match = api.begin(head)
        assert isinstance(match, Match)
        refused = api.begin_stream(match, head)
        assert isinstance(refused, Response)
        assert refused.status == 426
