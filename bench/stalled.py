"""What clients that never read cost: the server's memory, and the others.

    python bench/stalled.py [--clients 5000] [--seconds 60]

Two trials against a real server, each with sockets that connect and then read nothing:

 1. Messages of 32 KiB to all of `--clients` stalled clients. A copy for each would be 160 MiB a
    message; references cost next to nothing.
 2. 1,000 clients of which 50 never read, and a stream for `--seconds`. The 950 must have every
    message in order; the 50 end as the policy says, and the memory stays bounded meanwhile.
"""

import argparse
import json
import select
import socket
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.loadclient import BenchError
from bench.publishers import API_KEY, SendPublisher
from bench.servers import SERVERS, Running, running

HEADRACE = SERVERS["headrace"]
STALLED_MESSAGES = 24  # 768 KiB of data: beyond what the kernel takes, within the ring's bound
STREAM_BYTES = 4096
STREAM_PER_S = 20
READERS = 950
STALLED = 50
RING_MAX_BYTES = 1024 * 1024  # of data, the default for a session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with running(HEADRACE, options.clients, core=0) as server:
        _stall_all(server, options.clients)
    with running(HEADRACE, READERS + STALLED, core=0) as server:
        _stall_some(server, options.seconds)


def _stall_all(server: Running, clients: int) -> None:
    sockets = [_connect(server.port, number) for number in range(clients)]
    idle = _resident_mib(server.pid)
    print(f"{clients} stalled clients, idle: {idle:.1f} MiB resident")
    for number in range(1, STALLED_MESSAGES + 1):
        assert isinstance(server.publisher, SendPublisher)
        server.publisher.publish([b"x" * 32768])
        server.publisher.confirm()
        _stats(server.port)  # answered behind the flush
        grown = _resident_mib(server.pid) - idle
        if number in (1, 2) or number % 8 == 0:
            print(f"  after message {number} of 32 KiB: +{grown:.1f} MiB")
    for each in sockets:
        each.close()


def _stall_some(server: Running, seconds: float) -> None:
    stalled = [_connect(server.port, number) for number in range(STALLED)]
    readers = [_connect(server.port, number) for number in range(STALLED, STALLED + READERS)]
    idle = peak = _resident_mib(server.pid)
    poll = select.epoll()
    waiting: dict[int, tuple[socket.socket, bytearray]] = {}
    for each in readers:
        each.setblocking(False)
        poll.register(each, select.EPOLLIN)
        waiting[each.fileno()] = (each, bytearray())
    seen = dict.fromkeys(waiting, 0)
    total = int(seconds * STREAM_PER_S)
    started = time.monotonic()
    sent = 0
    while min(seen.values()) < total:
        if sent < total and time.monotonic() >= started + sent / STREAM_PER_S:
            sent += 1
            server.publisher.publish([b"%08d" % sent + b"x" * (STREAM_BYTES - 8)])
            server.publisher.confirm()
        for descriptor, _ in poll.poll(0.02):
            each, kept = waiting[descriptor]
            data = each.recv(1 << 20)
            if not data:
                raise BenchError(f"a reading client was closed after {seen[descriptor]} messages")
            kept += data
            seen[descriptor] = _count_in_order(kept, seen[descriptor])
        peak = max(peak, _resident_mib(server.pid))
        if time.monotonic() > started + seconds + 30:
            raise BenchError(f"only {min(seen.values())} of {total} came to the slowest reader")
    stats = _stats(server.port)
    history = stats["history_bytes"] / 2**20
    print(f"{READERS} clients that read, {STALLED} that never do, {total} messages of 4 KiB")
    print(f"  every one of the {READERS} has every message, in order")
    print(f"  closed as too slow: {stats['slow_closed']} of {STALLED}")
    print(f"  resident: {idle:.1f} MiB idle, at most +{peak - idle:.1f} MiB, history {history:.1f}")
    copies = STALLED * RING_MAX_BYTES / 2**20
    print(f"  (a copy of the backlog for each stalled client would be {copies:.0f} MiB more)")
    for each in [*readers, *stalled]:
        each.close()


def _count_in_order(kept: bytearray, seen: int) -> int:
    """Take the whole frames off `kept`; raise BenchError unless they are the next ones."""
    while (start := kept.find(b'"data":"')) >= 0 and len(kept) >= start + 8 + STREAM_BYTES + 2:
        number = int(kept[start + 8 : start + 16])
        if number != seen + 1:
            raise BenchError(f"message {number} came after {seen}")
        seen = number
        del kept[: start + 8 + STREAM_BYTES + 2]
    return seen


def _connect(port: int, number: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(HEADRACE.request(number))
    opened = b""
    while HEADRACE.opening not in opened:
        data = client.recv(4096)
        if not data:
            raise BenchError(f"handshake {number} was refused: {opened!r}")
        opened += data
    return client


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _stats(port: int) -> dict[str, int]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/stats", headers={"Authorization": f"Bearer {API_KEY}"}
    )
    with urllib.request.urlopen(request) as answer:
        stats: dict[str, int] = json.load(answer)
        return stats


if __name__ == "__main__":
    main()
