"""Pass the listening sockets of a running server to the process that replaces it.

Closing a listening socket resets the connections that wait in its backlog. So the running server
offers its listening sockets on a Unix socket in `state_dir`. The next process receives duplicates
of them (SCM_RIGHTS, unix(7)) and listens on the same sockets: no connection is refused or reset
while the two processes change over.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from headrace.server.sockets import bind, resolve
from headrace.server.state_directory import StateDirectory

_log = logging.getLogger("headrace")

_NAME: Final = "sockets"
_MAX_SOCKETS: Final = 16
_TIMEOUT_S: Final = 5.0


def _address(directory: int) -> str:
    """Return a short path of the Unix socket: its length is limited to about 100 bytes."""
    return f"/proc/self/fd/{directory}/{_NAME}"


class SocketOffer:
    """Offers listening sockets to one later process at a time, until it is closed."""

    def __init__(self, directory: Path, sockets: Sequence[socket.socket]) -> None:
        """Listen on the Unix socket in `directory`; raise OSError if that is not possible."""
        self._path = directory / _NAME
        self._sockets = [each.dup() for each in sockets]
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._listener.bind(_address(parent))
        finally:
            os.close(parent)
        self._path.chmod(0o600)
        self._listener.listen(1)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener, self._send)

    def close(self) -> None:
        """Stop offering. A second call does nothing."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        for each in self._sockets:
            each.close()

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            peer, _ = self._listener.accept()
            with peer:
                peer.setblocking(False)
                socket.send_fds(peer, [b"\0"], [each.fileno() for each in self._sockets])


async def receive_sockets(directory: Path) -> list[socket.socket]:
    """Return duplicates of the sockets that the running server offers; empty if it offers none."""
    received: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    try:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
                peer.setblocking(False)
                async with asyncio.timeout(_TIMEOUT_S):
                    await loop.sock_connect(peer, _address(parent))
                    readable: asyncio.Future[None] = loop.create_future()
                    loop.add_reader(peer, _set, readable)
                    try:
                        await readable
                    finally:
                        loop.remove_reader(peer)
                _, descriptors, _, _ = socket.recv_fds(peer, 1, _MAX_SOCKETS)
                received = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        finally:
            os.close(parent)
    except (OSError, TimeoutError):
        return []
    for each in received:
        each.setblocking(False)
    return received


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def offer_sockets(
    directory: StateDirectory, sockets: Sequence[socket.socket]
) -> SocketOffer | None:
    """Offer listening sockets to the next process; None, and a line in the log, if impossible."""
    try:
        return SocketOffer(directory.path, sockets)
    except OSError as error:
        _log.warning(
            "the listening sockets cannot be handed over at a restart: %s", error.strerror or error
        )
        return None


async def bind_or_receive(host: str, port: int, directory: StateDirectory) -> list[socket.socket]:
    """Return the sockets of the running server if they have the right addresses, or new ones.

    Without a running server, the address must not be in use: a server with another state directory
    would otherwise share the port, and the clients would be split between the two. Raises
    ConfigError if it is.
    """
    if not directory.has_predecessor():
        if port:
            for each in await bind(host, port, shared=False):
                each.close()
        return await bind(host, port, shared=True)
    by_address = {
        (each.family, each.getsockname()): each for each in await receive_sockets(directory.path)
    }
    try:
        wanted = [(family, address) for family, _, _, address in await resolve(host, port)]
        if port and all(each in by_address for each in wanted):
            return [by_address.pop(each) for each in wanted]
        return await bind(host, port, shared=True)
    finally:
        for each in by_address.values():  # those that are not wanted
            each.close()
