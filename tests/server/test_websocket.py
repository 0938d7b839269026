"""The WebSocket protocol (RFC 6455), frame by frame and with real clients."""

import asyncio
import json

import aiohttp
import pytest
from tests.server.conftest import Serve
from tests.server.kit import Site, mint, opened, recv
from tests.server.wire import BINARY, CONTINUATION, handshake, masked, masked_close, wire
from websockets.exceptions import ConnectionClosed

from headrace import frames, limits

TEXT, CLOSE, PING, PONG = frames.TEXT, frames.CLOSE, frames.PING, frames.PONG
TOO_MUCH = limits.CLIENT_FRAME_MAX_BYTES + 1

FAULTS = {
    "not masked": (frames.frame(TEXT, b"x"), 1002),
    "a reserved bit": (b"\xc1" + masked(TEXT, b"x")[1:], 1002),
    "a reserved opcode": (masked(0x3, b"x"), 1002),
    "a reserved control opcode": (masked(0xB, b""), 1002),
    "a fragmented ping": (masked(PING, b"x", final=False), 1002),
    "a ping too long": (masked(PING, b"x" * 126), 1002),
    "a continuation of nothing": (masked(CONTINUATION, b"x"), 1002),
    "a message inside another": (masked(TEXT, b"x", final=False) + masked(TEXT, b"y"), 1002),
    "a length not in its shortest form": (b"\x81\xfe\x00\x01abcd\x19", 1002),
    "a close of one byte": (masked(CLOSE, b"\x03"), 1002),
    "a close with a code that is none": (masked_close(1005), 1002),
    "a close with a code too low": (masked_close(999), 1002),
    "binary": (masked(BINARY, b"x"), 1003),
    "no UTF-8": (masked(TEXT, b"\xff"), 1007),
    "half a character": (masked(TEXT, "é".encode()[:1]), 1007),
    "no UTF-8 over two fragments": (
        masked(TEXT, b"\xc3", final=False) + masked(CONTINUATION, b"\x28"),
        1007,
    ),
    "a close whose reason is no UTF-8": (masked(CLOSE, b"\x03\xe8\xff"), 1007),
    "a message too long": (b"\x81\xff" + TOO_MUCH.to_bytes(8, "big") + b"abcd", 1009),
    "fragments too long together": (
        masked(TEXT, b"x" * (limits.CLIENT_FRAME_MAX_BYTES - 9), final=False)
        + masked(CONTINUATION, b"x" * 10),
        1009,
    ),
}


@pytest.mark.parametrize("v1", [True, False], ids=["v1", "bare"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_ends_the_connection_with_its_code(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, fault: str, v1: bool
) -> None:
    site = await serve()
    monkeypatch.setattr(limits, "CLOSE_TIMEOUT_S", 60)
    sent, code = FAULTS[fault]
    async with wire(site.port) as client:
        await client.upgrade(mint(), v1=v1)
        if v1:
            assert (await client.json())["type"] == "open"
        await client.write(sent)
        assert await client.close_code() == code
        # RFC 6455 section 7.1.7: the connection is failed, and the peer sees that at once.
        async with asyncio.timeout(10):
            assert await client.read_to_end() == b""
        assert (await site.send("x"))["sessions"] == 0


async def test_what_came_before_a_fault_counts(site: Site) -> None:
    exp = int((await _exp(site)) - 100)
    renew = json.dumps({"type": "renew", "token": mint(exp=exp)}).encode()
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.json()
        await client.write(masked(TEXT, renew) + masked(PING, b"p") + masked(BINARY, b""))
        assert (await client.json())["expires_at"] == exp
        assert await client.frame() == (PONG, b"p")
        assert await client.close_code() == 1003


async def _exp(site: Site) -> float:
    async with site.connect(mint()) as client:
        expires_at: float = (await opened(client))["expires_at"]
        return expires_at


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (masked(CLOSE, b""), 1000),
        (masked_close(1000, "done"), 1000),
        (masked_close(1001), 1001),
        (masked_close(3000), 3000),
        (masked_close(4321, "ž" * 61), 4321),
    ],
)
async def test_a_close_is_answered_and_tcp_ended(site: Site, sent: bytes, answered: int) -> None:
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.json()
        await client.write(sent + masked(PING, b"ignored"))
        opcode, payload = await client.frame()
        assert (opcode, payload) == (CLOSE, answered.to_bytes(2, "big"))
        assert await client.read_until_cut() == b""
    await site.connections_end()


async def test_a_close_right_behind_the_handshake(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(handshake(mint()) + masked_close(1000))
        assert (await client.reply(has_body=False)).status == 101
        await client.json()
        assert await client.frame() == (CLOSE, (1000).to_bytes(2, "big"))
        assert await client.read_until_cut() == b""


async def test_a_peer_that_does_not_answer_our_close_is_cut(serve: Serve) -> None:
    site = await serve(sessions_per_client=1)
    async with wire(site.port) as old, wire(site.port) as new:
        await old.upgrade(mint())
        await old.json()
        await new.upgrade(mint())
        await new.json()
        assert await old.close_code() == 4009
        await old.write(masked(PING, b"nobody answers") * 10)
        assert await old.read_until_cut() == b""  # after CLOSE_TIMEOUT_S
        assert (await site.send("x"))["sessions"] == 1


async def test_a_peer_that_answers_our_close_ends_at_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await serve(sessions_per_client=1)
    monkeypatch.setattr(limits, "CLOSE_TIMEOUT_S", 60)
    async with wire(site.port) as old, wire(site.port) as new:
        await old.upgrade(mint())
        await old.json()
        await new.upgrade(mint())
        assert await old.close_code() == 4009
        await old.write(masked_close(4009))
        async with asyncio.timeout(10):
            assert await old.read_until_cut() == b""


async def test_pings_are_answered_with_their_payload(site: Site) -> None:
    for v1 in (True, False):
        async with wire(site.port) as client:
            await client.upgrade(mint(), v1=v1)
            if v1:
                await client.json()
            for payload in (b"", b"x", b"\xff" * 125):
                await client.write(masked(PING, payload))
                assert await client.frame() == (PONG, payload)
            await client.write(masked(PONG, b"nobody asked") + masked(PING, b"alive"))
            assert await client.frame() == (PONG, b"alive")


async def test_a_message_in_fragments_with_a_ping_between(site: Site) -> None:
    renew = json.dumps({"type": "renew", "token": mint(), "ž": "ž"}, ensure_ascii=False).encode()
    for cut in (1, len(renew) // 2, len(renew) - 4):  # the last in the middle of a character
        async with wire(site.port) as client:
            await client.upgrade(mint())
            await client.json()
            await client.write(masked(TEXT, renew[:cut], final=False))
            await client.write(masked(PING, b"between"))
            assert await client.frame() == (PONG, b"between")
            await client.write(masked(CONTINUATION, b"", final=False))
            await client.write(masked(CONTINUATION, renew[cut:]))
            assert (await client.json())["type"] == "open"


async def test_a_frame_that_comes_byte_by_byte(site: Site) -> None:
    renew = json.dumps({"type": "renew", "token": mint()}).encode()
    async with wire(site.port) as client:
        for byte in handshake(mint()) + masked(TEXT, renew):
            await client.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.reply(has_body=False)).status == 101
        assert [(await client.json())["type"] for _ in range(2)] == ["open", "open"]


async def test_the_longest_message_of_a_client_is_read(site: Site) -> None:
    padding = " " * (limits.CLIENT_FRAME_MAX_BYTES - 16)
    async with site.connect(mint()) as client:
        await opened(client)
        await client.send('{"type":"dance"}' + padding)
        assert (await recv(client))["code"] == 400


async def test_a_bare_client_has_nothing_to_say(site: Site) -> None:
    async with site.connect_bare(mint()) as client:
        await client.send(json.dumps({"type": "renew", "token": "x"}))
        await client.send("anything")
        await site.send("still here")
        assert await client.recv() == "still here"


async def test_real_clients_close_with_their_code_and_reason(site: Site) -> None:
    async with site.connect(mint()) as client:
        await opened(client)
        await client.close(4000, "done")
        assert client.close_code == 4000
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{site.ws_url}/v1/connect?token={mint()}") as client,
    ):
        await client.close(code=1001)
        assert client.close_code == 1001
    await site.connections_end(left=1)
    assert (await site.stats())["sessions"] == 0


async def test_a_client_that_offers_compression_is_served(site: Site) -> None:
    async with site.connect(mint(), compression="deflate") as client:
        await opened(client)
        await site.send("x" * 10_000)
        assert (await recv(client))["data"] == "x" * 10_000
        await client.send("y" * 10_000)
        assert (await recv(client))["code"] == 400


async def test_an_unknown_subprotocol_is_not_agreed_to(site: Site) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(
            f"{site.ws_url}/v1/connect?token={mint()}", protocols=["chat", "headrace.v2"]
        ) as client,
    ):
        assert client.protocol is None
        await site.send("bare")
        assert await client.receive_str() == "bare"


async def test_a_peer_that_ends_its_side_is_gone(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """What is sent to a socket that is only still being flushed must wait in the history."""
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.upgrade(token)
        for number in range(20):
            assert (await site.send(f"{number} " + "x" * 32_000))["sessions"] == 1
        client.end()
        await _until_nobody_is_there(site)
        lost = await site.send("nobody is there")
        assert lost["sessions"] == 0
    async with site.connect(token) as client:
        await opened(client)
        frame = await recv(client)
        while frame["id"] != lost["id"]:
            frame = await recv(client)
        assert frame["data"] == "nobody is there"
    assert (await site.stats())["slow_closed"] == 0
    assert not caplog.records


async def _until_nobody_is_there(site: Site) -> None:
    async with asyncio.timeout(10):
        while (await site.stats())["sessions"]:
            pass


async def test_a_peer_that_sends_pings_and_does_not_read_is_cut(site: Site) -> None:
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.upgrade(mint())
        flood = asyncio.ensure_future(client.write(masked(PING, b"x" * 125) * 100_000))
        await site.connections_end()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await flood


async def test_a_client_is_told_that_it_was_replaced(serve: Serve) -> None:
    site = await serve(sessions_per_client=1)
    async with site.connect(mint()) as first, site.connect(mint()) as second:
        await opened(first)
        await opened(second)
        with pytest.raises(ConnectionClosed):
            await first.recv()
        assert (first.close_code, first.close_reason) == (
            4009,
            "replaced by a newer session: do not reconnect",
        )
