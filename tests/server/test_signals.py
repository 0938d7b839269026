"""The end of the process: everybody is told, every answer is given, and nothing is left over."""

import signal

import aiohttp
import pytest
from tests.server.kit import API_KEY, mint, opened, recv
from tests.server.process import server_process
from tests.server.wire import masked_close, request, wire
from websockets.exceptions import ConnectionClosed

# The process has a loop of its own.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

AUTHORIZED = f"Authorization: Bearer {API_KEY}"
SEND = b'{"to": "alice", "data": "x"}'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
async def test_every_client_is_told_to_come_back(number: signal.Signals) -> None:
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
            notice = await recv(client)
            assert notice["type"] == "reconnect"
            assert 0 <= notice["delay_ms"] <= 30_000
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1012
        with pytest.raises(ConnectionClosed):
            await bare.recv()
        assert bare.close_code == 1012
        assert (await aiohttp_client.receive()).type is aiohttp.WSMsgType.CLOSE
        assert aiohttp_client.close_code == 1012
        assert b'"reconnect"' in await events.read()
        end = await site.ended()
    assert end == (0, "", "")


async def test_requests_under_way_get_their_answer() -> None:
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
        await idle.ask("GET", "/healthz")
        sending = request("POST", "/v1/send", AUTHORIZED, body=SEND)
        await half_a_body.write(sending[:-5])
        await half_a_head.write(sending[:30])
        await poll.write(request("GET", f"/v1/poll?token={mint('p')}"))
        head = ["POST", "/v1/send/batch", AUTHORIZED, "Transfer-Encoding: chunked"]
        await batch.write(request(*head) + b"%x\r\n%b\n\r\n" % (len(SEND) + 1, SEND))
        while (await site.stats())["sessions"] < 2:
            pass

        site.send_signal(signal.SIGTERM)
        assert (await recv(client))["type"] == "reconnect"
        reply = await poll.reply()
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) > 0
        await half_a_body.write(sending[-5:])
        await half_a_head.write(sending[30:])
        for sender in (half_a_body, half_a_head):
            reply = await sender.reply()
            assert (reply.status, reply.json()["sessions"]) == (200, 0)
            assert reply.headers["connection"] == "close"
            assert await sender.read_to_end() == b""
            sender.close()
        assert await idle.read_to_end() == b""
        await batch.write(b"0\r\n\r\n")
        assert (await batch.read_to_end()).endswith(b'"sessions":0}\n\r\n0\r\n\r\n')
        batch.close()
        poll.close()
        end = await site.ended()
    assert end == (0, "", "")


async def test_nobody_is_let_in_while_the_server_goes() -> None:
    async with (
        server_process() as site,
        wire(site.port) as deaf,  # keeps the process waiting for its close frame
        wire(site.port) as late,
        wire(site.port) as later,
    ):
        await deaf.upgrade(mint())
        assert (await deaf.json())["type"] == "open"
        await late.write(request("GET", f"/v1/connect?token={mint()}")[:-2])
        await later.write(request("GET", f"/v1/poll?token={mint()}")[:-2])
        await site.stats()
        site.send_signal(signal.SIGTERM)
        assert (await deaf.json())["type"] == "reconnect"
        assert await deaf.close_code() == 1012
        for client in (late, later):
            await client.write(b"\r\n")
            reply = await client.reply()
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) > 0
            client.close()
        await deaf.write(masked_close(1012))
        end = await site.ended()
    assert end == (0, "", "")


async def test_a_client_that_does_not_answer_does_not_keep_the_process() -> None:
    async with server_process() as site, wire(site.port) as deaf:
        await deaf.upgrade(mint())
        await deaf.json()
        end = await site.end()
        assert end == (0, "", "")


async def test_a_second_signal_changes_nothing() -> None:
    async with server_process() as site, site.connect(mint()) as client:
        await opened(client)
        site.send_signal(signal.SIGINT)
        assert (await recv(client))["type"] == "reconnect"
        end = await site.end(signal.SIGINT)
        assert end == (0, "", "")
        await client.wait_closed()
        assert client.close_code == 1012
