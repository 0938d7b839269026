"""headrace.client.websocket_transport: handshakes, close codes and the log."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from aiohttp import WSMsgType, web
from tests.unit.client.websocket_server import WebSocketServer, message, opened, sends

from headrace.client import RequestError, websocket_transport
from headrace.client.close_info import CloseInfo
from headrace.client.websocket_transport import open_websocket
from headrace.messages.position import Position

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def server() -> AsyncIterator[WebSocketServer]:
    server = WebSocketServer()
    async with server.server:
        yield server


@asynccontextmanager
async def tcp_server(handler: Handler) -> AsyncIterator[str]:
    """Serve raw bytes; yield the URL."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server, asyncio.timeout(20):
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def responds(response: bytes) -> AbstractAsyncContextManager[str]:
    """Serve one raw response to each handshake."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
        writer.close()
        await writer.wait_closed()

    return tcp_server(respond)


# --- handshakes -----------------------------------------------------------------------------------


async def test_a_response_that_is_not_a_websocket_handshake() -> None:
    async with responds(b"HTTP/1.1 101 Switching Protocols\r\nConnection: nonsense\r\n\r\n") as url:
        with pytest.raises(ConnectionError, match="handshake violates the protocol"):
            await open_websocket(url, "token", last_id=Position(1, 2))


async def test_a_response_that_is_not_http() -> None:
    async with responds(b"SSH-2.0-OpenSSH_9.2\r\n") as url:
        with pytest.raises(ConnectionError, match="handshake violates the protocol"):
            await open_websocket(url, "token")


async def test_a_connection_that_is_closed_without_a_response() -> None:
    async with responds(b"") as url:
        with pytest.raises(ConnectionError, match="closed the connection without a response"):
            await open_websocket(url, "token")


async def test_no_server(unused_tcp_port: int) -> None:
    with pytest.raises(OSError, match="Connect call failed"):
        await open_websocket(f"http://127.0.0.1:{unused_tcp_port}", "token")


async def test_a_server_that_does_not_respond(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = asyncio.Event()

    async def read_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        closed.set()

    monkeypatch.setattr(websocket_transport, "CONNECT_TIMEOUT_S", 0.05)
    async with tcp_server(read_only) as url:
        with pytest.raises(TimeoutError, match=r"no connection within 0\.05 s"):
            await open_websocket(url, "token")
        await closed.wait()


async def test_a_server_without_the_subprotocol() -> None:
    async def accept(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.receive()
        return websocket

    server = WebSocketServer()
    server.server.app.router.add_get("/plain/v1/connect", accept)
    async with server.server:
        with pytest.raises(RequestError, match=r"does not support the subprotocol headrace\.v1"):
            await open_websocket(str(server.server.make_url("/plain")), "token")


async def test_an_error_response_has_its_headers_and_detail(server: WebSocketServer) -> None:
    server.scripts.append(
        web.Response(status=503, text='{"detail":"full"}', headers={"Retry-After": "7"})
    )
    with pytest.raises(RequestError, match="full") as caught:
        await open_websocket(server.url, "token")
    assert caught.value.status == 503
    assert dict(caught.value.headers)["retry-after"] == "7"


async def test_redirects_are_not_followed(server: WebSocketServer) -> None:
    """They could send the token to another host."""
    server.scripts.append(web.Response(status=307, headers={"Location": server.url}))
    with pytest.raises(RequestError) as caught:
        await open_websocket(server.url, "token")
    assert caught.value.status == 307
    assert server.tokens == ["token"]


# --- open connections -----------------------------------------------------------------------------


async def test_pings_are_answered(server: WebSocketServer) -> None:
    async def ping(websocket: web.WebSocketResponse) -> None:
        await websocket.ping(b"hello")
        received = await websocket.receive()
        assert (received.type, received.data) == (WSMsgType.PONG, b"hello")
        await websocket.close(code=4009)

    server.scripts.append(ping)
    websocket = await open_websocket(server.url, "token")
    assert (await websocket.receive(10)) == CloseInfo(
        4009, "replaced by a newer session: do not reconnect"
    )
    await websocket.close()


async def test_binary_frames_are_ignored(server: WebSocketServer) -> None:
    async def send_binary(websocket: web.WebSocketResponse) -> None:
        await websocket.send_bytes(b"binary")
        await websocket.send_str("text")
        await websocket.close()

    server.scripts.append(send_binary)
    websocket = await open_websocket(server.url, "token")
    assert await websocket.receive(10) == "text"
    assert (await websocket.receive(10)) == CloseInfo(1000, "normal")
    await websocket.close()


async def test_a_connection_without_a_close_frame(server: WebSocketServer) -> None:
    server.scripts.append(server.aborts(opened()))
    websocket = await open_websocket(server.url, "token")
    assert isinstance(await websocket.receive(10), str)
    closed = await websocket.receive(10)
    assert isinstance(closed, CloseInfo)
    assert closed.code == 1006
    assert closed.reason
    await websocket.close()


async def test_a_frame_that_violates_the_protocol(server: WebSocketServer) -> None:
    async def send_reserved_bits(websocket: web.WebSocketResponse) -> None:
        assert server.transport is not None
        server.transport.write(b"\xf1\x01x")
        await websocket.receive()

    server.scripts.append(send_reserved_bits)
    websocket = await open_websocket(server.url, "token")
    closed = await websocket.receive(10)
    assert isinstance(closed, CloseInfo)
    assert (closed.code, "violated the protocol" in closed.reason) == (1006, True)
    await websocket.close()


async def test_a_garbage_collected_connection_is_aborted(server: WebSocketServer) -> None:
    ended = asyncio.Event()

    async def wait_for_the_end(websocket: web.WebSocketResponse) -> None:
        try:
            await websocket.receive()
        finally:  # aiohttp may cancel the handler
            ended.set()

    server.scripts.append(wait_for_the_end)
    websocket = await open_websocket(server.url, "token")
    del websocket
    gc.collect()
    async with asyncio.timeout(10):
        await ended.wait()


async def test_the_log_contains_no_token_and_no_data(
    server: WebSocketServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.new_tokens = iter(["token-7f3a"])
    await server.run(sends(opened(), message("2-0", "data-91bc")))
    assert [message.data for message in server.messages] == ["data-91bc"]
    assert "token-7f3a" not in caplog.text
    assert "data-91bc" not in caplog.text
