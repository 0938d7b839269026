"""The WebSocket protocol (RFC 6455), frame by frame and with clients of other libraries."""

import asyncio
import json

import aiohttp
import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.client_bytes import BINARY, CONTINUATION, client_frame
from tests.helpers.constants import set_server_constant
from tests.helpers.site import Site, mint, opened, recv
from tests.helpers.wire import client_close, handshake, wire
from websockets.exceptions import ConnectionClosed

from headrace import limits
from headrace.messages import frames

TEXT, CLOSE, PING, PONG = frames.TEXT, frames.CLOSE, frames.PING, frames.PONG
TOO_LARGE = limits.CLIENT_FRAME_MAX_BYTES + 1

FAULTS = {
    "not masked": (frames.frame(TEXT, b"x"), 1002),
    "a reserved bit": (b"\xc1" + client_frame(TEXT, b"x")[1:], 1002),
    "a reserved opcode": (client_frame(0x3, b"x"), 1002),
    "a reserved control opcode": (client_frame(0xB, b""), 1002),
    "a fragmented ping": (client_frame(PING, b"x", fin=False), 1002),
    "a too long ping": (client_frame(PING, b"x" * 126), 1002),
    "a continuation without a message": (client_frame(CONTINUATION, b"x"), 1002),
    "a message within another": (
        client_frame(TEXT, b"x", fin=False) + client_frame(TEXT, b"y"),
        1002,
    ),
    "a length not in its shortest form": (b"\x81\xfe\x00\x01abcd\x19", 1002),
    "a close of one byte": (client_frame(CLOSE, b"\x03"), 1002),
    "a close with a reserved code": (client_close(1005), 1002),
    "a close with a too low code": (client_close(999), 1002),
    "binary": (client_frame(BINARY, b"x"), 1003),
    "not UTF-8": (client_frame(TEXT, b"\xff"), 1007),
    "an incomplete character": (client_frame(TEXT, "é".encode()[:1]), 1007),
    "not UTF-8 over two fragments": (
        client_frame(TEXT, b"\xc3", fin=False) + client_frame(CONTINUATION, b"\x28"),
        1007,
    ),
    "a close whose reason is not UTF-8": (client_frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "a too long message": (b"\x81\xff" + TOO_LARGE.to_bytes(8, "big") + b"abcd", 1009),
    "too long fragments together": (
        client_frame(TEXT, b"x" * (limits.CLIENT_FRAME_MAX_BYTES - 9), fin=False)
        + client_frame(CONTINUATION, b"x" * 10),
        1009,
    ),
}


@pytest.mark.parametrize("v1", [True, False], ids=["v1", "bare"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_closes_the_connection_with_its_code(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, fault: str, v1: bool
) -> None:
    site = await serve()
    set_server_constant(monkeypatch, "CLOSE_TIMEOUT_S", 60)
    sent, code = FAULTS[fault]
    async with wire(site.port) as client:
        await client.upgrade(mint(), v1=v1)
        if v1:
            assert (await client.read_json())["type"] == "open"
        await client.write(sent)
        assert await client.read_close_code() == code
        # RFC 6455 section 7.1.7: the connection is failed at once.
        async with asyncio.timeout(10):
            assert await client.read_to_end() == b""
        assert (await site.send("x"))["sessions"] == 0


async def test_frames_before_a_fault_are_handled(site: Site) -> None:
    exp = int((await _expires_at(site)) - 100)
    renew = json.dumps({"type": "renew", "token": mint(exp=exp)}).encode()
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.read_json()
        await client.write(
            client_frame(TEXT, renew) + client_frame(PING, b"p") + client_frame(BINARY, b"")
        )
        assert (await client.read_json())["expires_at"] == exp
        assert await client.read_frame() == (PONG, b"p")
        assert await client.read_close_code() == 1003


async def _expires_at(site: Site) -> float:
    async with site.connect(mint()) as client:
        expires_at: float = (await opened(client))["expires_at"]
        return expires_at


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (client_frame(CLOSE, b""), 1000),
        (client_close(1000, "done"), 1000),
        (client_close(1001), 1001),
        (client_close(3000), 3000),
        (client_close(4321, "ž" * 61), 4321),
    ],
)
async def test_close_frame_is_answered_and_tcp_closed(site: Site, sent: bytes, code: int) -> None:
    async with wire(site.port) as client:
        await client.upgrade(mint())
        await client.read_json()
        await client.write(sent + client_frame(PING, b"ignored"))
        opcode, payload = await client.read_frame()
        assert (opcode, payload) == (CLOSE, code.to_bytes(2, "big"))
        assert await client.read_until_closed() == b""
    await site.wait_for_connections()


async def test_close_frame_in_the_segment_of_the_handshake(site: Site) -> None:
    async with wire(site.port) as client:
        await client.write(handshake(mint()) + client_close(1000))
        assert (await client.read_response(has_body=False)).status == 101
        await client.read_json()
        assert await client.read_frame() == (CLOSE, (1000).to_bytes(2, "big"))
        assert await client.read_until_closed() == b""


async def test_peer_that_does_not_answer_a_close_is_aborted(serve: Serve) -> None:
    site = await serve(sessions_per_client=1)
    async with wire(site.port) as old, wire(site.port) as new:
        await old.upgrade(mint())
        await old.read_json()
        await new.upgrade(mint())
        await new.read_json()
        assert await old.read_close_code() == 4009
        await old.write(client_frame(PING, b"not answered") * 10)
        assert await old.read_until_closed() == b""  # after CLOSE_TIMEOUT_S
        assert (await site.send("x"))["sessions"] == 1


async def test_peer_that_answers_a_close_is_disconnected_at_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await serve(sessions_per_client=1)
    set_server_constant(monkeypatch, "CLOSE_TIMEOUT_S", 60)
    async with wire(site.port) as old, wire(site.port) as new:
        await old.upgrade(mint())
        await old.read_json()
        await new.upgrade(mint())
        assert await old.read_close_code() == 4009
        await old.write(client_close(4009))
        async with asyncio.timeout(10):
            assert await old.read_until_closed() == b""


async def test_pings_are_answered_with_their_payload(site: Site) -> None:
    for v1 in (True, False):
        async with wire(site.port) as client:
            await client.upgrade(mint(), v1=v1)
            if v1:
                await client.read_json()
            for payload in (b"", b"x", b"\xff" * 125):
                await client.write(client_frame(PING, payload))
                assert await client.read_frame() == (PONG, payload)
            await client.write(client_frame(PONG, b"unsolicited") + client_frame(PING, b"alive"))
            assert await client.read_frame() == (PONG, b"alive")


async def test_fragments_with_a_ping_between(site: Site) -> None:
    renew = json.dumps({"type": "renew", "token": mint(), "ž": "ž"}, ensure_ascii=False).encode()
    for cut in (1, len(renew) // 2, len(renew) - 4):  # the last cut is within a character
        async with wire(site.port) as client:
            await client.upgrade(mint())
            await client.read_json()
            await client.write(client_frame(TEXT, renew[:cut], fin=False))
            await client.write(client_frame(PING, b"between"))
            assert await client.read_frame() == (PONG, b"between")
            await client.write(client_frame(CONTINUATION, b"", fin=False))
            await client.write(client_frame(CONTINUATION, renew[cut:]))
            assert (await client.read_json())["type"] == "open"


async def test_frame_byte_by_byte(site: Site) -> None:
    renew = json.dumps({"type": "renew", "token": mint()}).encode()
    async with wire(site.port) as client:
        for byte in handshake(mint()) + client_frame(TEXT, renew):
            await client.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.read_response(has_body=False)).status == 101
        assert [(await client.read_json())["type"] for _ in range(2)] == ["open", "open"]


async def test_longest_client_message(site: Site) -> None:
    padding = " " * (limits.CLIENT_FRAME_MAX_BYTES - 16)
    async with site.connect(mint()) as client:
        await opened(client)
        await client.send('{"type":"other"}' + padding)
        assert (await recv(client))["code"] == 400


async def test_frames_of_a_bare_client_are_ignored(site: Site) -> None:
    async with site.connect_bare(mint()) as client:
        await client.send(json.dumps({"type": "renew", "token": "x"}))
        await client.send("anything")
        await site.send("still here")
        assert await client.recv() == "still here"


async def test_other_libraries_close_with_their_code_and_reason(site: Site) -> None:
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
    await site.wait_for_connections(1)
    assert (await site.stats())["sessions"] == 0


async def test_client_that_offers_compression(site: Site) -> None:
    async with site.connect(mint(), compression="deflate") as client:
        await opened(client)
        await site.send("x" * 10_000)
        assert (await recv(client))["data"] == "x" * 10_000
        await client.send("y" * 10_000)
        assert (await recv(client))["code"] == 400


async def test_unknown_subprotocol_is_not_selected(site: Site) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(
            f"{site.ws_url}/v1/connect?token={mint()}", protocols=["chat", "headrace.v2"]
        ) as client,
    ):
        assert client.protocol is None
        await site.send("bare")
        assert await client.receive_str() == "bare"


async def test_session_ends_when_the_peer_closes_its_side(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Messages sent while the socket is still being flushed must stay in the history."""
    token = await site.channel()
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.upgrade(token)
        for number in range(20):
            assert (await site.send(f"{number} " + "x" * 32_000))["sessions"] == 1
        client.write_eof()
        await _wait_until_no_session(site)
        lost = await site.send("nobody is connected")
        assert lost["sessions"] == 0
    async with site.connect(token) as client:
        await opened(client)
        frame = await recv(client)
        while frame["id"] != lost["id"]:
            frame = await recv(client)
        assert frame["data"] == "nobody is connected"
    assert (await site.stats())["slow_closed"] == 0
    assert not caplog.records


async def _wait_until_no_session(site: Site) -> None:
    async with asyncio.timeout(10):
        while (await site.stats())["sessions"]:
            pass


async def test_peer_that_sends_pings_without_reading_is_aborted(site: Site) -> None:
    async with wire(site.port, receive_buffer_bytes=4096) as client:
        await client.upgrade(mint())
        flood = asyncio.ensure_future(client.write(client_frame(PING, b"x" * 125) * 100_000))
        await site.wait_for_connections()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await flood


async def test_replaced_client_gets_the_reason(serve: Serve) -> None:
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
