"""server/socket_handover.py: listening sockets that move to another process."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from headrace.errors import ConfigError
from headrace.server.socket_handover import SocketOffer, bind_or_receive, receive_sockets
from headrace.server.sockets import bind
from headrace.server.state_directory import StateDirectory


async def test_a_connection_in_the_backlog_survives_the_first_owner(tmp_path: Path) -> None:
    (original,) = await bind("127.0.0.1", 0, shared=False)
    original.listen()
    offer = SocketOffer(tmp_path, [original])
    (received,) = await receive_sockets(tmp_path)
    with socket.create_connection(original.getsockname()) as client:
        original.close()
        offer.close()
        client.sendall(b"hello")
        loop = asyncio.get_running_loop()
        accepted, _ = await loop.sock_accept(received)
        with accepted:
            assert await loop.sock_recv(accepted, 5) == b"hello"
    received.close()


async def test_nothing_is_received_if_nothing_is_offered(tmp_path: Path) -> None:
    assert await receive_sockets(tmp_path) == []
    assert await receive_sockets(tmp_path / "missing") == []


async def test_an_offer_can_be_taken_twice_and_ends_with_its_close(tmp_path: Path) -> None:
    sockets = await bind("127.0.0.1", 0, shared=False)
    offer = SocketOffer(tmp_path, sockets)
    for _ in range(2):
        received = await receive_sockets(tmp_path)
        assert [each.getsockname() for each in received] == [sockets[0].getsockname()]
        received[0].close()
    offer.close()
    offer.close()
    assert await receive_sockets(tmp_path) == []
    assert os.listdir(tmp_path) == []
    sockets[0].close()


async def test_a_socket_file_of_a_process_that_crashed_is_replaced(tmp_path: Path) -> None:
    crashed = socket.socket(socket.AF_UNIX)
    crashed.bind(str(tmp_path / "sockets"))
    crashed.close()
    assert await receive_sockets(tmp_path) == []
    sockets = await bind("127.0.0.1", 0, shared=False)
    offer = SocketOffer(tmp_path, sockets)
    (received,) = await receive_sockets(tmp_path)
    received.close()
    offer.close()
    sockets[0].close()


async def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 40)
    directory.mkdir()
    sockets = await bind("127.0.0.1", 0, shared=False)
    offer = SocketOffer(directory, sockets)
    (received,) = await receive_sockets(directory)
    received.close()
    offer.close()
    sockets[0].close()


async def test_an_address_in_use_is_refused_without_a_running_server(tmp_path: Path) -> None:
    """Two servers with different directories must not share a port."""
    (other,) = await bind("127.0.0.1", 0, shared=True)
    other.listen()
    port = other.getsockname()[1]
    directory = StateDirectory(str(tmp_path))
    with pytest.raises(ConfigError, match=f"port {port}"):
        await bind_or_receive("127.0.0.1", port, directory)
    other.close()
    (own,) = await bind_or_receive("127.0.0.1", port, directory)
    own.close()
    directory.close()


async def test_the_sockets_of_the_running_server_are_used_if_the_address_is_the_same(
    tmp_path: Path,
) -> None:
    running = StateDirectory(str(tmp_path))
    await running.begin_accepting()
    sockets = await bind("127.0.0.1", 0, shared=True)
    sockets[0].listen()
    port = sockets[0].getsockname()[1]
    offer = SocketOffer(tmp_path, sockets)
    following = StateDirectory(str(tmp_path))
    (received,) = await bind_or_receive("127.0.0.1", port, following)
    assert received.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    (another,) = await bind_or_receive("127.0.0.1", 0, following)
    assert not another.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    for each in (received, another, *sockets):
        each.close()
    offer.close()
    running.close()
    following.close()
