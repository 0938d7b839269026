"""Thousands of WebSocket clients in one thread, at a lower cost than that of the server under load.

It uses no client library and no frame parser. In a tick, every socket receives the same bytes. One
socket in fifty is sampled: its messages are counted and their time stamps are read. For all other
sockets, only the bytes are counted: a tick is over when each socket has received as many bytes as
the first one.

The time stamps are `CLOCK_MONOTONIC`, written by the publisher and read by the client in the same
process. A latency is therefore the time from just before the send request until the client's `recv`
returned, including the time for which data waited in the client.
"""

import re
import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

SAMPLE_EVERY = 50
"""One socket in this many has its messages parsed."""

PENDING_HANDSHAKES_MAX = 64
"""Concurrent handshakes: below the smallest listen backlog among the servers (100)."""

TICK_TIMEOUT_S = 30.0
"""The run fails if one tick takes longer."""

CONNECT_TIMEOUT_S = 60.0
"""The run fails if connecting all clients takes longer."""

STAMP_BYTES = 20
"""The shortest message: `@` and 19 digits of nanoseconds."""

STAMP = re.compile(rb"@(\d{19})")
_BUFFER_BYTES = 256 * 1024


class BenchError(Exception):
    """The run cannot continue. The text names the reason and a remedy."""


class Publisher(Protocol):
    """Has the server under test send messages to everyone connected."""

    def publish(self, messages: Sequence[bytes]) -> None:
        """Write all messages to the server in one call, without waiting for a response."""

    def confirm(self) -> None:
        """Read the server's responses, if there are any. Raise BenchError if a send was refused."""


class _SampledSocket:
    """Parses the messages of one socket; a replacement for the socket's own `recv_into`."""

    __slots__ = ("_latencies_ns", "_recv_into", "_tail", "messages", "size")

    def __init__(self, recv_into: Callable[[memoryview], int], latencies_ns: list[int]) -> None:
        self._recv_into = recv_into
        self._latencies_ns = latencies_ns
        self._tail = b""
        self.messages = 0
        self.size = 0

    def __call__(self, buffer: memoryview) -> int:
        size = self._recv_into(buffer)
        now_ns = time.monotonic_ns()
        data = self._tail + buffer[:size]
        parsed = 0
        for match in STAMP.finditer(data):
            self._latencies_ns.append(now_ns - int(match[1]))
            self.messages += 1
            parsed = match.end()
        self._tail = data[max(parsed, len(data) - STAMP_BYTES + 1) :]
        self.size += size
        return size


class LoadClient:
    """The connected clients of one server.

    Call `connect()` once, `tick()` any number of times, and `close()` at the end. `latencies_ns`
    grows by one value for each message that a sampled socket has received.
    """

    def __init__(self) -> None:
        self.latencies_ns: list[int] = []
        self._sockets: list[socket.socket] = []
        self._samples: list[_SampledSocket] = []
        self._recv_into: dict[int, Callable[[memoryview], int]] = {}
        self._epoll = select.epoll()
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def connect(self, port: int, requests: Sequence[bytes], opening: bytes) -> float:
        """Open a socket per request; return the seconds until all have received `opening`.

        Raises BenchError if a handshake is refused or the whole takes over CONNECT_TIMEOUT_S.
        """
        started = time.monotonic()
        pending: dict[int, tuple[socket.socket, bytearray]] = {}
        remaining = iter(requests)
        while len(self._sockets) < len(requests):
            while len(pending) < PENDING_HANDSHAKES_MAX:
                if (request := next(remaining, None)) is None:
                    break
                # On the loopback interface connect() does not wait for the peer's accept().
                client = socket.create_connection(("127.0.0.1", port), timeout=5.0)
                client.sendall(request)
                client.setblocking(False)
                self._epoll.register(client, select.EPOLLIN | select.EPOLLET)
                pending[client.fileno()] = (client, bytearray())
            for descriptor, _ in self._epoll.poll(1.0):
                client, response = pending[descriptor]
                size = client.recv_into(self._buffer)
                response += self._buffer[:size]
                self._check_handshake(response, closed=size == 0)
                if opening in response.partition(b"\r\n\r\n")[2] or (
                    not opening and b"\r\n\r\n" in response
                ):
                    del pending[descriptor]
                    self._add(client)
            if time.monotonic() - started > CONNECT_TIMEOUT_S:
                raise BenchError(
                    f"only {len(self._sockets)} of {len(requests)} clients connected within"
                    f" {CONNECT_TIMEOUT_S:g} s; use fewer --clients"
                )
        return time.monotonic() - started

    def _check_handshake(self, response: bytearray, *, closed: bool) -> None:
        number = len(self._sockets) + 1
        if closed:
            raise BenchError(f"the server closed connection {number} during the handshake")
        if not response.startswith(b"HTTP/1.1 101"[: len(response)]):
            status_line = bytes(response).partition(b"\r\n")[0].decode(errors="replace")
            raise BenchError(f"the server refused handshake {number}: {status_line!r}")

    def _add(self, client: socket.socket) -> None:
        recv_into: Callable[[memoryview], int] = client.recv_into
        if len(self._sockets) % SAMPLE_EVERY == 0:
            recv_into = _SampledSocket(recv_into, self.latencies_ns)
            self._samples.append(recv_into)
        self._recv_into[client.fileno()] = recv_into
        self._sockets.append(client)

    def tick(self, publisher: Publisher, count: int, size_bytes: int) -> None:
        """Publish `count` messages of `size_bytes` in one write; return when all clients have them.

        Raises BenchError if the server closes a socket or the tick takes over TICK_TIMEOUT_S.
        """
        for sample in self._samples:
            sample.messages = sample.size = 0
        filler = b"x" * (size_bytes - STAMP_BYTES)
        deadline = time.monotonic() + TICK_TIMEOUT_S
        stamped = [b"@%019d%b" % (time.monotonic_ns(), filler) for _ in range(count)]
        publisher.publish(stamped)
        poll, recv_into, buffer = self._epoll.poll, self._recv_into, self._buffer
        clients = len(self._sockets)
        first = self._samples[0]
        received = 0
        while first.messages < count or received < clients * first.size:
            # The epoll is edge-triggered and the buffer holds more than the bytes of a tick. So one
            # recv per event is enough; later bytes cause another event.
            for descriptor, _ in poll(0, clients):
                size = recv_into[descriptor](buffer)
                if size == 0:
                    raise BenchError("the server closed a connection during a tick")
                received += size
            if time.monotonic() > deadline:
                raise BenchError(
                    f"a tick took over {TICK_TIMEOUT_S:g} s: {received} bytes received; the first"
                    f" of {clients} clients has {first.messages} of {count} messages"
                )
        publisher.confirm()

    def close(self) -> None:
        """Reset every connection."""
        reset(self._sockets)
        self._epoll.close()


def connect_client(port: int, request: bytes, opening: bytes) -> socket.socket:
    """Connect one client; return its blocking socket once it has received `opening`."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(request)
    response = b""
    while opening not in response:
        data = client.recv(4096)
        if not data:
            raise BenchError(f"the server refused a handshake: {response!r}")
        response += data
    return client


def reset(sockets: Iterable[socket.socket]) -> None:
    """Close sockets with a TCP reset, so that none remains in TIME_WAIT."""
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        each.close()
