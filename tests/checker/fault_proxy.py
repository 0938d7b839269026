"""A TCP proxy that injects faults. Each client has a proxy of its own, and so faults of its own.

A fault is injected with a number of bytes. It happens when that many more bytes have passed in its
direction, at any point of the data, or after some time if fewer bytes pass.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

_READ_BYTES = 65536
_RECEIVE_BUFFER_BYTES = 16 * 1024  # towards the server: small, so that a stall soon reaches it
_OVERDUE_S = 1.0
_SILENT_CLOSE_DELAY_S = 2.0  # from the client's close of a silent connection to the server's reset
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


class FaultKind(StrEnum):
    """What happens to a connection."""

    RESET = "reset"
    """Both ends receive a reset."""
    CLOSE = "close"
    """Both ends receive an end of file, at any point of the data."""
    STALL = "stall"
    """Nothing passes for a while; then everything does."""
    DROP = "drop"
    """All bytes are discarded in both directions without notice. The server can still write."""
    FREEZE = "freeze"
    """All bytes are discarded in both directions without notice. The server's writes block."""


@dataclass
class Fault:
    """A fault after `after_bytes` more bytes to the server (`upstream`) or to the client."""

    kind: FaultKind
    upstream: bool
    after_bytes: int
    stall_s: float = 0.0


class FaultProxy:
    """A listening port, and the connections that it relays to the server."""

    def __init__(self, server_port: int, on_fault: Callable[[Fault], None]) -> None:
        """`on_fault` is called with each fault when it happens."""
        self.port = 0
        self._server_port = server_port
        self.on_fault = on_fault
        self._listener: asyncio.Server | None = None
        self._faults: deque[Fault] = deque()
        self._connections: list[_ProxiedConnection] = []
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Listen on a free port."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and reset all connections."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.cut(reset=True)

    @property
    def pending_faults(self) -> int:
        """The number of faults that have not happened yet."""
        return len(self._faults)

    def inject(self, fault: Fault) -> None:
        """Make `fault` happen soon, after the faults that are already pending."""
        self._faults.append(fault)
        if len(self._faults) == 1:
            self._start_timer()

    def take_due(self, *, upstream: bool, size: int) -> tuple[int, Fault] | None:
        """Return the fault that is due within `size` bytes, and after how many of them.

        The caller must apply it. Return None if all bytes may pass.
        """
        if not self._faults or self._faults[0].upstream != upstream:
            return None
        fault = self._faults[0]
        if fault.after_bytes > size:
            fault.after_bytes -= size
            return None
        return fault.after_bytes, self._take()

    def _take(self) -> Fault:
        fault = self._faults.popleft()
        if self._faults:
            self._start_timer()
        return fault

    def _start_timer(self) -> None:
        self._loop.call_later(_OVERDUE_S, self._apply_overdue, self._faults[0])

    def _apply_overdue(self, fault: Fault) -> None:
        """Apply a fault for which too few bytes have passed."""
        if not self._faults or self._faults[0] is not fault:
            return
        if self._connections:
            self._connections[-1].apply(self._take())
        else:  # nobody is connected: the fault hits the next connection at once
            fault.after_bytes = 0
            self._start_timer()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        try:
            await self._loop.sock_connect(sock, ("127.0.0.1", self._server_port))
        except OSError:  # the server is not running
            sock.close()
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection(sock=sock)
        connection = _ProxiedConnection(self, (reader, writer), (server_reader, server_writer))
        self._connections.append(connection)
        try:
            await connection.run()
        finally:
            self._connections.remove(connection)


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _ProxiedConnection:
    """One connection through the proxy."""

    def __init__(self, proxy: FaultProxy, client: _Streams, server: _Streams) -> None:
        self._proxy = proxy
        self._client_reader, self._client_writer = client
        self._server_reader, self._server_writer = server
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._silent = False
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Relay bytes until both directions have ended."""
        downstream = self._relay(self._server_reader, self._client_writer, upstream=False)
        upstream = self._relay(self._client_reader, self._server_writer, upstream=True)
        await asyncio.gather(downstream, upstream)
        self._client_writer.close()
        self._server_writer.close()

    def apply(self, fault: Fault) -> None:
        """Apply a fault to this connection."""
        self._proxy.on_fault(fault)
        if fault.kind is FaultKind.RESET:
            self.cut(reset=True)
        elif fault.kind is FaultKind.CLOSE:
            self.cut(reset=False)
        elif fault.kind is FaultKind.STALL:
            self._flowing.clear()
            self._loop.call_later(fault.stall_s, self._flowing.set)
        else:
            self._silent = True
            if fault.kind is FaultKind.FREEZE:
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

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upstream: bool
    ) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                while (due := self._proxy.take_due(upstream=upstream, size=len(data))) is not None:
                    size, fault = due
                    await self._forward(writer, data[:size], upstream=upstream)
                    data = data[size:]
                    self.apply(fault)
                await self._forward(writer, data, upstream=upstream)
            if self._silent:
                if upstream:  # the client has given up; the server learns of it later
                    self._loop.call_later(_SILENT_CLOSE_DELAY_S, lambda: self.cut(reset=True))
            elif not writer.transport.is_closing():
                writer.write_eof()
        except OSError:
            self.cut(reset=True)

    async def _forward(self, writer: asyncio.StreamWriter, data: bytes, *, upstream: bool) -> None:
        if not (upstream and self._silent):  # the client's close must be read even while silent
            await self._flowing.wait()
        if self._silent or writer.transport.is_closing():
            return
        writer.write(data)
        await writer.drain()
