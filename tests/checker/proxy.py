"""A TCP proxy that misbehaves on command: one gate per client, so that each has faults of its own.

A fault is armed with a number of bytes; it happens when so many more have been passed on in its
direction, in the midst of whatever is passing, or after a while without them.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

_READ_BYTES = 65536
_BUFFER_BYTES = 16 * 1024  # of the socket to the server: small, so that it feels a stall soon
_OVERDUE_S = 1.0
_LINGER_S = 2.0  # between a silent line's end at the client and its end at the server
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


class Kind(StrEnum):
    """What can happen to a connection."""

    RESET = "reset"
    """Both ends get a reset."""
    CLOSE = "close"
    """Both ends get an end of file, in the midst of whatever was on its way."""
    STALL = "stall"
    """Nothing passes for a while; then everything does."""
    DROP = "drop"
    """All bytes vanish, both ways, and nobody is told; the server's are taken."""
    FREEZE = "freeze"
    """All bytes vanish, both ways, and nobody is told; the server's are not taken."""


@dataclass
class Fault:
    """What is to happen after `after_bytes` more; `upward` counts those to the server."""

    kind: Kind
    upward: bool
    after_bytes: int
    stall_s: float = 0.0


class Gate:
    """A listening port of the proxy, and the connections that came through it."""

    def __init__(self, server_port: int, happened: Callable[[Fault], None]) -> None:
        """`happened` is told of each fault as it happens."""
        self.port = 0
        self._server_port = server_port
        self.happened = happened
        self._listener: asyncio.Server | None = None
        self._armed: deque[Fault] = deque()
        self._relays: list[_Relay] = []
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        """Listen on a free port."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and cut what there is."""
        if self._listener is not None:
            self._listener.close()
        for relay in list(self._relays):
            relay.cut(reset=True)

    @property
    def armed(self) -> int:
        """How many faults have still to happen."""
        return len(self._armed)

    def arm(self, fault: Fault) -> None:
        """Have `fault` happen soon, behind those that are armed already."""
        self._armed.append(fault)
        if len(self._armed) == 1:
            self._watch()

    def due(self, *, upward: bool, size: int) -> tuple[int, Fault] | None:
        """Return the fault that is due within `size` bytes and after how many of them.

        It is then the caller's to let happen. None where all bytes may pass.
        """
        if not self._armed or self._armed[0].upward != upward:
            return None
        fault = self._armed[0]
        if fault.after_bytes > size:
            fault.after_bytes -= size
            return None
        return fault.after_bytes, self._take()

    def _take(self) -> Fault:
        fault = self._armed.popleft()
        if self._armed:
            self._watch()
        return fault

    def _watch(self) -> None:
        self._loop.call_later(_OVERDUE_S, self._overdue, self._armed[0])

    def _overdue(self, fault: Fault) -> None:
        """Have a fault happen for which too few bytes have passed."""
        if not self._armed or self._armed[0] is not fault:
            return
        if self._relays:
            self._relays[-1].suffer(self._take())
        else:  # nobody is connected: the next one is hit at once
            fault.after_bytes = 0
            self._watch()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        try:
            await self._loop.sock_connect(sock, ("127.0.0.1", self._server_port))
        except OSError:  # the server is away
            sock.close()
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection(sock=sock)
        relay = _Relay(self, (reader, writer), (server_reader, server_writer))
        self._relays.append(relay)
        try:
            await relay.run()
        finally:
            self._relays.remove(relay)


_Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Relay:
    """One connection through a gate."""

    def __init__(self, gate: Gate, client: _Pair, server: _Pair) -> None:
        self._gate = gate
        self._client_reader, self._client_writer = client
        self._server_reader, self._server_writer = server
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._silent = False
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Pass bytes on until both directions have ended."""
        down = self._pump(self._server_reader, self._client_writer, upward=False)
        up = self._pump(self._client_reader, self._server_writer, upward=True)
        await asyncio.gather(down, up)
        self._client_writer.close()
        self._server_writer.close()

    def suffer(self, fault: Fault) -> None:
        """Let a fault happen to this connection."""
        self._gate.happened(fault)
        if fault.kind is Kind.RESET:
            self.cut(reset=True)
        elif fault.kind is Kind.CLOSE:
            self.cut(reset=False)
        elif fault.kind is Kind.STALL:
            self._flowing.clear()
            self._loop.call_later(fault.stall_s, self._flowing.set)
        else:
            self._silent = True
            if fault.kind is Kind.FREEZE:
                self._flowing.clear()

    def cut(self, *, reset: bool) -> None:
        """End both sides at once."""
        self._flowing.set()
        for writer in (self._client_writer, self._server_writer):
            if not reset:
                writer.close()
            elif not writer.transport.is_closing():
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upward: bool
    ) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                while (due := self._gate.due(upward=upward, size=len(data))) is not None:
                    size, fault = due
                    await self._pass_on(writer, data[:size], upward=upward)
                    data = data[size:]
                    self.suffer(fault)
                await self._pass_on(writer, data, upward=upward)
            if self._silent:
                if upward:  # the client has given up: so does the line, some time later
                    self._loop.call_later(_LINGER_S, lambda: self.cut(reset=True))
            elif not writer.transport.is_closing():
                writer.write_eof()
        except OSError:
            self.cut(reset=True)

    async def _pass_on(self, writer: asyncio.StreamWriter, data: bytes, *, upward: bool) -> None:
        if not (upward and self._silent):  # a client's end must be seen however silent the line
            await self._flowing.wait()
        if self._silent or writer.transport.is_closing():
            return
        writer.write(data)
        await writer.drain()
