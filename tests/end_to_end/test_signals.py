"""SIGTERM and SIGINT: clients are told to reconnect, and requests that have begun are answered."""

import signal

import aiohttp
import pytest
from tests.helpers.server_process import server_process
from tests.helpers.site import API_KEY, mint, opened, recv
from tests.helpers.wire import client_close, request, wire
from websockets.exceptions import ConnectionClosed

# The server is another process.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

AUTHORIZED = f"Authorization: Bearer {API_KEY}"
SEND = b'{"to": "alice", "data": "x"}'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
async def test_all_clients_are_told_to_reconnect(number: signal.Signals) -> None:
    async with (
        server_process() as site,
        site.connect(mint("a")) as one,
        site.connect(mint("b")) as two,
        site.connect_bare(mint("c")) as bare,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{site.ws_url}/v1/connect?token={mint('d')}") as aiohttp_client,
        http.get(f"{site.url}/v1/events?token={mint('e')}") as events,
    ):
        await opened(one)
        await opened(two)
        while (await site.stats())["sessions"] < 5:
            pass
        site.send_signal(number)
        for client in (one, two):
            message = await recv(client)
            assert message["type"] == "reconnect"
            assert 0 <= message["delay_ms"] <= 30_000
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1012
        with pytest.raises(ConnectionClosed):
            await bare.recv()
        assert bare.close_code == 1012
        assert (await aiohttp_client.receive()).type is aiohttp.WSMsgType.CLOSE
        assert aiohttp_client.close_code == 1012
        assert b'"reconnect"' in await events.read()
        result = await site.wait_exit()
    assert result == (0, "", "")


async def test_requests_that_have_begun_are_answered() -> None:
    async with (
        server_process() as site,
        site.connect(mint("bob")) as client,
        wire(site.port) as idle,
        wire(site.port) as half_a_body,
        wire(site.port) as half_a_head,
        wire(site.port) as poll,
        wire(site.port) as batch,
    ):
        await opened(client)
        await idle.fetch("GET", "/healthz")
        send = request("POST", "/v1/send", AUTHORIZED, body=SEND)
        await half_a_body.write(send[:-5])
        await half_a_head.write(send[:30])
        await poll.write(request("GET", f"/v1/poll?token={mint('p')}"))
        head = ["POST", "/v1/send/batch", AUTHORIZED, "Transfer-Encoding: chunked"]
        await batch.write(request(*head) + b"%x\r\n%b\n\r\n" % (len(SEND) + 1, SEND))
        while (await site.stats())["sessions"] < 2:
            pass

        site.send_signal(signal.SIGTERM)
        assert (await recv(client))["type"] == "reconnect"
        response = await poll.read_response()
        assert response.status == 503
        assert int(response.headers["retry-after"]) > 0
        await half_a_body.write(send[-5:])
        await half_a_head.write(send[30:])
        for sender in (half_a_body, half_a_head):
            response = await sender.read_response()
            assert (response.status, response.json()["sessions"]) == (200, 0)
            assert response.headers["connection"] == "close"
            assert await sender.read_to_end() == b""
            sender.close()
        assert await idle.read_to_end() == b""
        await batch.write(b"0\r\n\r\n")
        assert (await batch.read_to_end()).endswith(b'"sessions":0}\n\r\n0\r\n\r\n')
        batch.close()
        poll.close()
        result = await site.wait_exit()
    assert result == (0, "", "")


async def test_new_sessions_are_refused_during_the_shutdown() -> None:
    async with (
        server_process() as site,
        wire(site.port) as silent,  # keeps the process waiting for its close frame
        wire(site.port) as late,
        wire(site.port) as later,
    ):
        await silent.upgrade(mint())
        assert (await silent.read_json())["type"] == "open"
        await late.write(request("GET", f"/v1/connect?token={mint()}")[:-2])
        await later.write(request("GET", f"/v1/poll?token={mint()}")[:-2])
        await site.stats()
        site.send_signal(signal.SIGTERM)
        assert (await silent.read_json())["type"] == "reconnect"
        assert await silent.read_close_code() == 1012
        for client in (late, later):
            await client.write(b"\r\n")
            response = await client.read_response()
            assert response.status == 503
            assert int(response.headers["retry-after"]) > 0
            client.close()
        await silent.write(client_close(1012))
        result = await site.wait_exit()
    assert result == (0, "", "")


async def test_client_that_does_not_answer_does_not_delay_the_exit() -> None:
    async with server_process() as site, wire(site.port) as silent:
        await silent.upgrade(mint())
        await silent.read_json()
        result = await site.stop()
        assert result == (0, "", "")


async def test_second_signal_ends_the_shutdown_at_once() -> None:
    async with server_process("--drain-s", "3600") as site, wire(site.port) as silent:
        await silent.upgrade(mint())  # keeps the process waiting for its close frame
        await silent.read_json()
        site.send_signal(signal.SIGINT)
        assert (await silent.read_json())["type"] == "reconnect"
        result = await site.stop(signal.SIGTERM)
    assert result.exit_code == 0
    assert result.stderr == "a second signal ends the shutdown before all work is done\n"


async def test_stop_timeout_bounds_the_shutdown() -> None:
    async with server_process("--stop-timeout-s", "0.2") as site, wire(site.port) as silent:
        await silent.upgrade(mint())
        await silent.read_json()
        result = await site.stop()
    assert result.exit_code == 0
    assert result.stderr == "stop_timeout_s (0.2) ends the shutdown before all work is done\n"
