"""Measure what clients that never read cost the server and the other clients.

    python bench/system/stalled_clients.py [--clients 5000] [--seconds 60]

Two trials with a real server, each with sockets that connect and then read nothing:

 1. Messages of 32 KiB to all of `--clients` stalled clients. A copy for each client would cost
    160 MiB per message; references cost next to nothing.
 2. 1,000 clients of which 50 never read, and a stream of messages for `--seconds`. The other 950
    must receive every message in order. The 50 are closed by the slow-consumer policy, and memory
    stays bounded until then.
"""

import argparse
import json
import select
import socket
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.system.load_client import BenchError, connect_client
from bench.system.process_stats import raise_descriptor_limit, resident_bytes
from bench.system.publishers import API_KEY
from bench.system.servers import HEADRACE, RunningServer, run_server

MIB = 1024 * 1024
MESSAGES_TO_STALLED = (
    24  # 768 KiB of data: more than the kernel buffers, less than the ring's limit
)
STREAM_BYTES = 4096
STREAM_PER_S = 20
READERS = 950
STALLED = 50
RING_MAX_BYTES = MIB  # of data, the default for a session
CATCH_UP_S = 30.0
"""The longest that the slowest reader may need after the stream has ended."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=5000, help="stalled clients of trial 1")
    parser.add_argument("--seconds", type=float, default=60, help="duration of trial 2")
    options = parser.parse_args()
    try:
        raise_descriptor_limit(max(options.clients, READERS + STALLED))
        with run_server(HEADRACE, options.clients, core=0) as server:
            _stall_all(server, options.clients)
        with run_server(HEADRACE, READERS + STALLED, core=0) as server:
            _stall_some(server, options.seconds)
    except BenchError as error:
        sys.exit(f"stalled_clients: {error}")


def _stall_all(server: RunningServer, clients: int) -> None:
    sockets = [_connect(server.port, number) for number in range(clients)]
    idle = resident_bytes(server.pid)
    print(f"{clients} stalled clients, idle: {idle / MIB:.1f} MiB resident")
    for number in range(1, MESSAGES_TO_STALLED + 1):
        server.publisher.publish([b"x" * 32768])
        server.publisher.confirm()
        _get_stats(server.port)  # its response follows the flush
        grown = resident_bytes(server.pid) - idle
        if number in (1, 2) or number % 8 == 0:
            print(f"  after message {number} of 32 KiB: +{grown / MIB:.1f} MiB")
    for each in sockets:
        each.close()


def _stall_some(server: RunningServer, seconds: float) -> None:
    stalled = [_connect(server.port, number) for number in range(STALLED)]
    readers = [_connect(server.port, number) for number in range(STALLED, STALLED + READERS)]
    idle = peak = resident_bytes(server.pid)
    poll = select.epoll()
    buffers: dict[int, tuple[socket.socket, bytearray]] = {}
    for each in readers:
        each.setblocking(False)
        poll.register(each, select.EPOLLIN)
        buffers[each.fileno()] = (each, bytearray())
    received = dict.fromkeys(buffers, 0)
    total = int(seconds * STREAM_PER_S)
    started = time.monotonic()
    sent = 0
    while min(received.values()) < total:
        if sent < total and time.monotonic() >= started + sent / STREAM_PER_S:
            sent += 1
            server.publisher.publish([b"%08d" % sent + b"x" * (STREAM_BYTES - 8)])
            server.publisher.confirm()
        for descriptor, _ in poll.poll(0.02):
            reader, buffer = buffers[descriptor]
            data = reader.recv(1 << 20)
            if not data:
                raise BenchError(f"a reader was closed after {received[descriptor]} messages")
            buffer += data
            received[descriptor] = _count_in_order(buffer, received[descriptor])
        peak = max(peak, resident_bytes(server.pid))
        if time.monotonic() > started + seconds + CATCH_UP_S:
            raise BenchError(
                f"the slowest reader received only {min(received.values())} of {total} messages"
            )
    stats = _get_stats(server.port)
    print(f"{READERS} readers, {STALLED} stalled clients, {total} messages of 4 KiB")
    print(f"  all {READERS} readers received every message in order")
    print(f"  closed as too slow: {stats['slow_closed']} of {STALLED}")
    print(
        f"  resident: {idle / MIB:.1f} MiB idle, at most +{(peak - idle) / MIB:.1f} MiB,"
        f" history {stats['history_bytes'] / MIB:.1f} MiB"
    )
    copies = STALLED * RING_MAX_BYTES / MIB
    print(f"  (a copy of the backlog for each stalled client would cost {copies:.0f} MiB more)")
    for each in [*readers, *stalled]:
        each.close()


def _count_in_order(buffer: bytearray, received: int) -> int:
    """Remove complete frames from `buffer`, and return the number of the last message.

    Raises BenchError if a message is not the one after `received`.
    """
    while (start := buffer.find(b'"data":"')) >= 0 and len(buffer) >= start + 8 + STREAM_BYTES + 2:
        number = int(buffer[start + 8 : start + 16])
        if number != received + 1:
            raise BenchError(f"received message {number} after message {received}")
        received = number
        del buffer[: start + 8 + STREAM_BYTES + 2]
    return received


def _connect(port: int, number: int) -> socket.socket:
    return connect_client(port, HEADRACE.request(number), HEADRACE.opening)


def _get_stats(port: int) -> dict[str, int]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/stats", headers={"Authorization": f"Bearer {API_KEY}"}
    )
    with urllib.request.urlopen(request) as response:
        stats: dict[str, int] = json.load(response)
        return stats


if __name__ == "__main__":
    main()
