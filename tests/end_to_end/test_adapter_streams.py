"""The adapters under real hosts, with clients of other libraries: WebSockets and event streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import pytest
from tests.helpers.hosts import HOSTS, StartHost, events_of, host_starter
from tests.helpers.site import Json, mint, opened, recv
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from headrace import Callbacks, codes, limits

BIG = "x" * 32_000


@pytest.fixture(params=HOSTS)
async def start(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StartHost]:
    """Return a function that starts a host: `await start(application, ping_interval_s=0.3)`."""
    async with host_starter(HOSTS[request.param], monkeypatch) as start:
        yield start


async def read_to_close(client: ClientConnection) -> tuple[list[Json], int]:
    """Return all frames, and the close code."""
    frames = []
    with suppress(ConnectionClosed):
        while True:
            frames.append(await recv(client))
    assert client.close_code is not None
    return frames, client.close_code


async def close_code(client: ClientConnection) -> int:
    return (await read_to_close(client))[1]


# --- WebSocket -------------------------------------------------------------------------------


async def test_messages_arrive_in_order_both_ways(start: StartHost) -> None:
    host = await start()
    token = host.token("alice", send=["client:bob"])
    async with host.connect(token) as alice, host.connect(host.token("bob")) as bob:
        first = await opened(alice)
        assert (first["client_id"], first["recovered"]) == ("alice", None)
        await opened(bob)
        for start_at in range(0, 150, 50):
            numbers = range(start_at, start_at + 50)
            for number in numbers:
                sent = {"type": "send", "data": str(number), "to": "bob", "ref": number}
                await alice.send(json.dumps(sent))
                await host.hub.send(f"to alice {number}", to="alice")
            received = [await recv(bob) for _ in numbers]
            assert [each["data"] for each in received] == [str(number) for number in numbers]
            frames = [await recv(alice) for _ in range(100)]
            assert [each["data"] for each in frames if "data" in each] == [
                f"to alice {number}" for number in numbers
            ]
            assert [(each["ref"], each["id"]) for each in frames if "ref" in each] == [
                (number, each["id"]) for number, each in zip(numbers, received, strict=True)
            ]


async def test_group_is_in_the_envelope_and_a_burst_is_in_order(start: StartHost) -> None:
    host = await start()
    async with host.connect(host.token(groups=["g"])) as client:
        await opened(client)
        for number in range(500):
            await host.hub.send(str(number), group="g")
        frames = [await recv(client) for _ in range(500)]
        assert [(each["data"], each["group"]) for each in frames] == [
            (str(number), "g") for number in range(500)
        ]


async def test_client_without_the_subprotocol_gets_bare_data(
    start: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start(ping_interval_s=0.2)
    token = host.token()
    url = f"{host.ws_url}/v1/connect"
    async with aiohttp.ClientSession() as http:
        for query, protocols in ((f"?token={token}", ()), ("", (f"headrace.token.{token}",))):
            async with http.ws_connect(url + query, protocols=protocols) as client:
                assert client.protocol is None
                await client.send_str("ignored")
                await host.hub.send("naïve\n", to="alice")
                assert await client.receive_str() == "naïve\n"
    assert token not in caplog.text


async def test_presence_and_update_messages_reach_the_application(start: StartHost) -> None:
    calls: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    host = await start(
        Callbacks(
            connected=lambda client_id: calls.put_nowait(("connected", client_id)),
            disconnected=lambda client_id: calls.put_nowait(("disconnected", client_id)),
            message=lambda message: calls.put_nowait((message.sender, message.data)),
        )
    )
    async with host.connect(host.token()) as client:
        assert await calls.get() == ("connected", "alice")
        await opened(client)
        await client.send('{"type":"send","data":"hi","ref":"r"}')
        assert await calls.get() == ("alice", "hi")
        assert await recv(client) == {"type": "sent", "ref": "r", "id": None}
    assert await calls.get() == ("disconnected", "alice")


async def test_reconnect_resumes_without_loss(start: StartHost) -> None:
    host = await start()
    token = host.token()
    async with host.connect(token) as client:
        await opened(client)
        await host.hub.send("1", to="alice")
        last_id = (await recv(client))["id"]
    await host.wait_for_sessions(0)
    for data in ("2", "3"):
        await host.hub.send(data, to="alice")
    async with host.connect(token, f"?last_id={last_id}") as client:
        assert (await opened(client))["recovered"] is True
        assert [(await recv(client))["data"] for _ in range(2)] == ["2", "3"]
    async with host.connect(token, "?last_id=1-0") as client:
        assert (await opened(client))["recovered"] is False


async def test_slow_client_is_closed_with_4008_and_does_not_hold_the_others(
    start: StartHost,
) -> None:
    host = await start(ring_max_messages=8)
    hub = host.hub
    ids: list[str] = []
    async with (
        host.connect(host.token("slow", groups=["g"]), max_queue=1) as slow,
        host.connect(host.token("fast", groups=["g"]), max_queue=None) as fast,
    ):
        await opened(slow)
        await opened(fast)
        while not hub.core.counters.slow_closed:
            ids.append(str((await hub.send(f"{len(ids)} {BIG}", group="g")).id))
            assert (await recv(fast))["id"] == ids[-1]
        assert len(hub.core.sessions) == 1
        frames, code = await read_to_close(slow)
        assert code == codes.TOO_SLOW
        got = [frame["id"] for frame in frames]
        assert got == ids[: len(got)]
        async with host.connect(host.token("slow", groups=["g"]), f"?last_id={got[-1]}") as resumed:
            assert (await opened(resumed))["recovered"] is True
            got += [(await recv(resumed))["id"] for _ in ids[len(got) :]]
    assert got == ids


async def test_backlog_of_a_slow_client_stays_in_the_ring(start: StartHost) -> None:
    host = await start(ring_max_bytes=1 << 26)
    hub = host.hub
    async with host.connect(host.token(), max_queue=1) as client:
        await opened(client)
        (session,) = hub.core.sessions
        ids = []
        while session.backlog < 100:
            ids.append(str((await hub.send(BIG, to="alice")).id))
            await asyncio.sleep(0)
        assert [(await recv(client))["id"] for _ in ids] == ids
        assert session.backlog == 0


async def test_client_that_never_reads_is_detached_after_write_timeout_s(start: StartHost) -> None:
    host = await start(write_timeout_s=0.3, ring_max_bytes=1 << 26, ring_max_messages=4096)
    async with host.connect(host.token(), max_queue=1, close_timeout=0.1) as client:
        await opened(client)
        (session,) = host.hub.core.sessions
        while session.backlog < 10:
            await host.hub.send(BIG, to="alice")
            await asyncio.sleep(0)
        await host.wait_for_sessions(0)
        client.transport.abort()


async def test_pings_after_silence(start: StartHost) -> None:
    host = await start(ping_interval_s=0.2)
    async with host.connect(host.token()) as client:
        assert (await opened(client))["ping_interval"] == 0.2
        assert await recv(client) == {"type": "ping"}
        assert await recv(client) == {"type": "ping"}


async def test_token_can_be_renewed(start: StartHost) -> None:
    host = await start()
    async with host.connect(host.token()) as client:
        before = (await opened(client))["expires_at"]
        newer = host.token(duration_minutes=240)
        await client.send(json.dumps({"type": "renew", "token": newer}))
        assert (await opened(client))["expires_at"] > before
        await client.send(json.dumps({"type": "renew", "token": "x"}))
        assert await recv(client) == {"type": "error", "code": 4001, "detail": "Invalid+token."}
        await client.send("no JSON")
        assert (await recv(client))["code"] == 400


async def test_token_faults_of_a_v1_client_are_close_codes(start: StartHost) -> None:
    host = await start()
    revoked = host.token("bob")
    await host.hub.disconnect("bob")
    expired = mint(exp=1)
    for token, code in (("x", 4001), (expired, 4002), (revoked, 4003)):
        async with host.connect(token) as client:
            assert client.subprotocol == "headrace.v1"
            assert await close_code(client) == code
            assert client.close_reason == codes.REASONS[code]


async def test_token_faults_of_other_clients_are_http_errors(start: StartHost) -> None:
    host = await start()
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{host.ws_url}/v1/connect?token=x")
        assert refused.value.status == 401
        async with http.get(f"{host.url}/v1/events?token=x") as response:
            assert response.status == 401
            assert (await response.json(content_type=None))["code"] == 4001


async def test_token_that_ends_while_connected_closes_the_session(
    start: StartHost,
) -> None:
    host = await start()
    async with host.connect(host.token()) as client:
        await opened(client)
        assert await host.hub.disconnect("alice") == 1
        assert await close_code(client) == codes.REVOKED_TOKEN
    loop = asyncio.get_running_loop()
    exp = host.hub.clocks.unix() + 0.5
    started = loop.time()
    async with host.connect(mint("bob", exp=exp)) as client:
        assert await close_code(client) == codes.EXPIRED_TOKEN
    assert loop.time() - started >= 0.4


async def test_newest_sessions_replace_the_oldest(start: StartHost) -> None:
    host = await start(sessions_per_client=1)
    async with host.connect(host.token()) as old:
        await opened(old)
        async with host.connect(host.token()) as new:
            await opened(new)
            assert await close_code(old) == codes.REPLACED


async def test_binary_and_too_long_frames_close_the_connection(start: StartHost) -> None:
    host = await start()
    for frame, code in (
        (b"binary", codes.UNSUPPORTED_DATA),
        ("x" * (limits.CLIENT_FRAME_MAX_BYTES + 1), codes.MESSAGE_TOO_BIG),
    ):
        async with host.connect(host.token()) as client:
            await opened(client)
            await client.send(frame)
            assert await close_code(client) == code
        await host.wait_for_sessions(0)


async def test_longest_frame_is_accepted(start: StartHost) -> None:
    host = await start()
    async with host.connect(host.token()) as client:
        await opened(client)
        await client.send("x" * limits.CLIENT_FRAME_MAX_BYTES)
        assert (await recv(client))["code"] == 400


async def test_foreign_origins_and_malformed_ids_are_refused(start: StartHost) -> None:
    host = await start()
    token = host.token()
    with pytest.raises(InvalidStatus) as refused:
        await host.connect(token, origin="https://evil.example")
    assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as refused:
        await host.connect(token, "?last_id=x")
    assert refused.value.response.status_code == 400
    same_origin = host.url.partition("//")[2].partition("/")[0]
    async with host.connect(token, origin=f"http://{same_origin}") as client:
        await opened(client)


async def test_client_that_vanishes_is_detached(start: StartHost) -> None:
    host = await start()
    async with host.connect(host.token()) as client:
        await opened(client)
        client.transport.abort()
        await host.wait_for_sessions(0)


async def test_draining_the_hub_closes_with_1012(start: StartHost) -> None:
    host = await start()
    async with host.connect(host.token()) as client:
        await opened(client)
        await host.hub.send("last", to="alice")
        assert (await recv(client))["data"] == "last"
        await host.hub.drain()
        assert (await recv(client))["type"] == "reconnect"
        assert await close_code(client) == codes.RESTART
    with pytest.raises(InvalidStatus) as refused:
        await host.connect(mint())
    assert refused.value.response.status_code == 503
    assert "retry-after" in refused.value.response.headers


async def test_stopping_the_host_closes_with_1012(start: StartHost) -> None:
    host = await start()
    async with host.connect(host.token()) as client:
        await opened(client)
        host.stop()
        assert await close_code(client) == codes.RESTART
    await host.wait_for_sessions(0)


# --- event streams ---------------------------------------------------------------------------


async def test_event_stream_delivers_and_resumes(start: StartHost) -> None:
    host = await start(ping_interval_s=0.2)
    headers = {"authorization": f"Bearer {host.token()}"}
    url = f"{host.url}/v1/events"
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.get(url) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            assert response.headers["x-accel-buffering"] == "no"
            assert (await response.content.readline()).startswith(b"retry: ")
            (control,) = await events_of(response, 1)
            assert json.loads(control["data"])["type"] == "open"
            await host.hub.send("one\ntwo", to="alice")
            (event,) = await events_of(response, 1)
            assert event["data"] == "one\ntwo"
            while await response.content.readline() != b": ping\n":
                pass
        await host.wait_for_sessions(0)
        await host.hub.send("three", to="alice")
        async with http.get(url, headers={"last-event-id": event["id"]}) as response:
            control, event = await events_of(response, 2)
            assert json.loads(control["data"])["recovered"] is True
            assert event["data"] == "three"
        async with http.head(url) as response:
            assert (response.status, response.content_type) == (200, "text/event-stream")


async def test_event_stream_reports_the_close_code(start: StartHost) -> None:
    host = await start()
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{host.url}/v1/events?token={host.token()}") as response,
    ):
        await events_of(response, 1)
        await host.hub.drain()
        reconnect, close = await events_of(response, 2)
        assert json.loads(reconnect["data"])["type"] == "reconnect"
        assert json.loads(close["data"])["code"] == codes.RESTART
        assert await response.content.read() == b""


async def test_stopping_the_host_ends_event_streams(start: StartHost) -> None:
    host = await start()
    async with aiohttp.ClientSession() as http:
        url = f"{host.url}/v1/events?token={host.token()}"
        async with http.get(url) as response:
            await events_of(response, 1)
            await host.hub.drain()  # uvicorn itself would wait for the stream
            host.stop()
            await events_of(response, 2)
            assert await response.content.read() == b""
