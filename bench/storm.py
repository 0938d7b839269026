"""A reconnect storm: thousands of clients are cut at once and come back, while others listen.

    python bench/storm.py [--clients 5000] [--listeners 200]

The clients come back as the JavaScript client does: after `random() * min(30, 0.5 * 2**n)`
seconds, n counting the attempts that failed. A live stream to `--listeners` other clients goes on
all the time; its latency before the storm and during it is compared, in one run.
"""

import argparse
import heapq
import multiprocessing
import os
import random
import re
import select
import socket
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.loadclient import BenchError, Fleet
from bench.publishers import SendPublisher
from bench.servers import SERVERS, handshake, running

BASE_S, CAP_S = 0.5, 30.0
PATIENCE_S = 60.0
STREAM_PER_S = 50
OPENING = b'"type":"open"'
_STAMP = re.compile(rb"@(\d{19})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0, help="of stream before the storm")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    total = options.clients + options.listeners
    with running(SERVERS["headrace"], total, core=0) as server:
        ours, theirs = multiprocessing.Pipe()
        crowd = multiprocessing.Process(target=_crowd, args=(theirs, server.port, options.clients))
        crowd.start()
        ours.recv()
        stream = _Stream(server.port, options.listeners)
        calm_until = time.monotonic() + options.seconds
        before = stream.run(lambda: time.monotonic() > calm_until)
        ours.send("cut")
        during = stream.run(ours.poll)
        waits = ours.recv()
        crowd.join()
    _report("before the storm", before)
    _report("during the storm", during)
    print(f"p99 during / before: {_percentile(during, 99) / _percentile(before, 99):.2f}")
    print(
        f"{options.clients} clients were back after {statistics.median(waits):.2f} s (median),"
        f" {_percentile(waits, 99):.2f} s (p99), {max(waits):.2f} s (the last)"
    )


class _Stream:
    """A live stream to clients that the storm does not touch; its latencies in milliseconds."""

    def __init__(self, port: int, listeners: int) -> None:
        self._publisher = SendPublisher(port, {"group": "live"})
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for number in range(listeners):
            client = socket.create_connection(("127.0.0.1", port), timeout=10)
            client.sendall(handshake(f"listener-{number}", ["live"]))
            opened = b""
            while OPENING not in opened:
                opened += client.recv(4096)
            self._poll.register(client, select.EPOLLIN)
            self._sockets[client.fileno()] = client

    def run(self, is_over: Callable[[], bool]) -> list[float]:
        """Stream until it is over, and return the latency of every delivery."""
        latencies_ms = []
        deadline = time.monotonic() + PATIENCE_S
        while not is_over():
            next_at = time.monotonic() + 1 / STREAM_PER_S
            self._publisher.publish([b"@%019d" % time.monotonic_ns()])
            received = 0
            while received < len(self._sockets):
                for descriptor, _ in self._poll.poll(1.0):
                    data = self._sockets[descriptor].recv(4096)
                    now_ns = time.monotonic_ns()
                    for stamp in _STAMP.findall(data):
                        latencies_ms.append((now_ns - int(stamp)) / 1e6)
                        received += 1
                    if not data:
                        raise BenchError("a listener was closed")
                if time.monotonic() > deadline:
                    raise BenchError(f"the storm was not over after {PATIENCE_S:g} s")
            self._publisher.confirm()
            time.sleep(max(next_at - time.monotonic(), 0))
        return latencies_ms


def _crowd(pipe: Connection, port: int, clients: int) -> None:
    """Connect, cut all when told, come back, and send how long each one was away.

    A process of its own, and nice: it shares its core with the listeners whose latency counts.
    """
    os.nice(19)
    requests = [handshake(f"client-{number}") for number in range(clients)]
    fleet = Fleet()
    fleet.connect(port, requests, OPENING)
    pipe.send("connected")
    pipe.recv()
    fleet.close()
    cut_at = time.monotonic()
    due = [(cut_at + random.random() * BASE_S, 0, number) for number in range(clients)]
    heapq.heapify(due)
    poll = select.epoll()
    waiting: dict[int, tuple[socket.socket, int, int]] = {}
    back: list[tuple[socket.socket, float]] = []
    while len(back) < clients:
        while due and due[0][0] <= time.monotonic():
            _, attempt, number = heapq.heappop(due)
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            poll.register(client, select.EPOLLOUT)
            waiting[client.fileno()] = (client, attempt, number)
        for descriptor, event in poll.poll(0.005):
            client, attempt, number = waiting[descriptor]
            if event == select.EPOLLOUT:
                client.sendall(requests[number])
                poll.modify(client, select.EPOLLIN)
                continue
            try:
                answer = client.recv(4096)
            except OSError:
                answer = b""
            if OPENING not in answer:  # the head and the notice come together, or another time
                if answer.startswith(b"HTTP/1.1 101"):
                    continue
                client.close()
                again = random.random() * min(CAP_S, BASE_S * 2 ** (attempt + 1))
                heapq.heappush(due, (time.monotonic() + again, attempt + 1, number))
                continue
            poll.unregister(client)
            del waiting[descriptor]
            back.append((client, time.monotonic() - cut_at))
    pipe.send([away_s for _, away_s in back])


def _report(when: str, latencies_ms: list[float]) -> None:
    print(
        f"{when}: {len(latencies_ms)} deliveries, p50 {_percentile(latencies_ms, 50):.2f} ms,"
        f" p99 {_percentile(latencies_ms, 99):.2f} ms"
    )


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()
