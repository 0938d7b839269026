"""headrace.client.http_transport: failures of the connection, and the end of a client."""

import socket

import pytest
from tests.unit.client.conftest import KEY, SENT, Caller, ClientType, FakeServer, json_response

from headrace.client import AsyncClient, Client, HeadraceError, UnreachableError


async def test_no_server(client_type: ClientType, unused_tcp_port: int) -> None:
    call = Caller(client_type(f"http://127.0.0.1:{unused_tcp_port}", KEY, retry_s=0))
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{unused_tcp_port}") as caught:
        await call("stats")
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, HeadraceError)
    await call("close")


async def test_a_server_that_does_not_respond(client_type: ClientType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        call = Caller(client_type(url, KEY, retry_s=0, timeout_s=0.05))
        with pytest.raises(UnreachableError, match="did not respond in time"):
            await call("stats")
        await call("close")


async def test_the_context_manager_closes_the_client(server: FakeServer) -> None:
    server.responses = [json_response(SENT)]
    async with AsyncClient(server.url, KEY) as asynchronous:
        await asynchronous.send("Hello", to="alice")
    with pytest.raises(RuntimeError, match="closed"):
        await asynchronous.send("Hello", to="alice")
    with Client(server.url, KEY) as blocking:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        blocking.send("Hello", to="alice")
