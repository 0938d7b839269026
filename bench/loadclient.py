"""Thousands of WebSocket clients in one thread, cheaper than the server they load.

No client library and no frame parser. Every socket of a fleet gets the same bytes in a tick, so one
socket in fifty is read with care, its messages counted and their time stamps taken, and of all the
others only the bytes are counted: a tick is over when each socket has as many as the first one.

The stamps are `CLOCK_MONOTONIC`, written by the publisher and read by the client in one process,
so a latency runs from just before the send to the application-facing side until the client's `recv`
returned, and holds the client's own queueing too.
"""

import re
import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

SAMPLE_EVERY = 50
"""One socket in so many has its messages parsed."""

IN_FLIGHT_MAX = 64
"""Handshakes under way at once: below the smallest listen backlog among the servers (100)."""

TICK_TIMEOUT_S = 30.0
"""The longest that one tick may take before the run fails."""

CONNECT_TIMEOUT_S = 60.0
"""The longest that a whole fleet may take to connect."""

STAMP_BYTES = 20
"""`@` and 19 digits of nanoseconds: the shortest message there is."""

_STAMP = re.compile(rb"@(\d{19})")
_ROOM_BYTES = 256 * 1024


class BenchError(Exception):
    """The run cannot go on; the text says why and what would help."""


class Publisher(Protocol):
    """Makes the server under test send messages to everyone connected."""

    def publish(self, messages: Sequence[bytes]) -> None:
        """Hand all messages to the server in one write; do not wait."""

    def confirm(self) -> None:
        """Read the server's answers, if it gives any; raise BenchError for a refusal."""


class _Sample:
    """Reads one socket with care; takes the place of its bare `recv_into`."""

    __slots__ = ("_latencies_ns", "_receive", "_tail", "messages", "size")

    def __init__(self, receive: Callable[[memoryview], int], latencies_ns: list[int]) -> None:
        self._receive = receive
        self._latencies_ns = latencies_ns
        self._tail = b""
        self.messages = 0
        self.size = 0

    def __call__(self, room: memoryview) -> int:
        size = self._receive(room)
        now_ns = time.monotonic_ns()
        data = self._tail + room[:size]
        taken = 0
        for match in _STAMP.finditer(data):
            self._latencies_ns.append(now_ns - int(match[1]))
            self.messages += 1
            taken = match.end()
        self._tail = data[max(taken, len(data) - STAMP_BYTES + 1) :]
        self.size += size
        return size


class Fleet:
    """The connected clients of one server.

    `connect()` once, `tick()` as often as wanted, `close()` at the end. `latencies_ns` grows by one
    for each message that a sampled socket received.
    """

    def __init__(self) -> None:
        self.latencies_ns: list[int] = []
        self._sockets: list[socket.socket] = []
        self._samples: list[_Sample] = []
        self._receive: dict[int, Callable[[memoryview], int]] = {}
        self._epoll = select.epoll()
        self._room = memoryview(bytearray(_ROOM_BYTES))

    def connect(self, port: int, requests: Sequence[bytes], opening: bytes) -> float:
        """Open a socket per request, and return the seconds until all had their `opening` bytes.

        Raises BenchError when a handshake is refused or the whole takes over CONNECT_TIMEOUT_S.
        """
        started = time.monotonic()
        waiting: dict[int, tuple[socket.socket, bytearray]] = {}
        left = iter(requests)
        while len(self._sockets) < len(requests):
            while len(waiting) < IN_FLIGHT_MAX and (request := next(left, None)) is not None:
                # On the loopback connect() does not wait for the peer's accept().
                client = socket.create_connection(("127.0.0.1", port), timeout=5.0)
                client.sendall(request)
                client.setblocking(False)
                self._epoll.register(client, select.EPOLLIN | select.EPOLLET)
                waiting[client.fileno()] = (client, bytearray())
            for descriptor, _ in self._epoll.poll(1.0):
                client, head = waiting[descriptor]
                size = client.recv_into(self._room)
                head += self._room[:size]
                if size == 0:
                    raise BenchError(f"closed handshake {len(self._sockets) + 1} halfway")
                if not head.startswith(b"HTTP/1.1 101"[: len(head)]):
                    line = bytes(head).partition(b"\r\n")[0].decode(errors="replace")
                    raise BenchError(f"refused handshake {len(self._sockets) + 1}: {line!r}")
                if opening in head.partition(b"\r\n\r\n")[2] or (
                    not opening and b"\r\n\r\n" in head
                ):
                    del waiting[descriptor]
                    self._admit(client)
            if time.monotonic() - started > CONNECT_TIMEOUT_S:
                raise BenchError(
                    f"{len(self._sockets)} of {len(requests)} clients connected in"
                    f" {CONNECT_TIMEOUT_S:g} s; try fewer --clients"
                )
        return time.monotonic() - started

    def _admit(self, client: socket.socket) -> None:
        receive: Callable[[memoryview], int] = client.recv_into
        if len(self._sockets) % SAMPLE_EVERY == 0:
            receive = _Sample(receive, self.latencies_ns)
            self._samples.append(receive)
        self._receive[client.fileno()] = receive
        self._sockets.append(client)

    def tick(self, publisher: Publisher, count: int, size_bytes: int) -> None:
        """Publish `count` messages of `size_bytes` in one write; return when all have them all.

        Raises BenchError when a server closes a socket, or takes over TICK_TIMEOUT_S.
        """
        for sample in self._samples:
            sample.messages = sample.size = 0
        filler = b"x" * (size_bytes - STAMP_BYTES)
        deadline = time.monotonic() + TICK_TIMEOUT_S
        stamped = [b"@%019d%b" % (time.monotonic_ns(), filler) for _ in range(count)]
        publisher.publish(stamped)
        poll, receive, room = self._epoll.poll, self._receive, self._room
        most = len(self._sockets)
        first = self._samples[0]
        received = 0
        while first.messages < count or received < most * first.size:
            # Edge-triggered, and the room is larger than a tick's bytes: one recv per event is
            # enough, what comes later is another event.
            for descriptor, _ in poll(0, most):
                size = receive[descriptor](room)
                if size == 0:
                    raise BenchError("closed a connection during a tick")
                received += size
            if time.monotonic() > deadline:
                raise BenchError(
                    f"after {TICK_TIMEOUT_S:g} s {received} bytes had come, and the first of"
                    f" {most} clients had {first.messages} of {count} messages"
                )
        publisher.confirm()

    def close(self) -> None:
        """Reset every connection."""
        reset(self._sockets)
        self._epoll.close()


def reset(sockets: Iterable[socket.socket]) -> None:
    """Close sockets by a reset, so that none lingers in TIME_WAIT."""
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        each.close()
