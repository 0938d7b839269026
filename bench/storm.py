"""A reconnect storm: thousands of clients are cut at once and come back, while others listen.

    python bench/storm.py [--clients 5000] [--listeners 200] [--storms 8]

The clients come back as the JavaScript client does: after `random() * min(30, 0.5 * 2**n)`
seconds, n counting the attempts that failed. A live stream to `--listeners` other clients goes on
all the time; its latency before the storms and during them is compared, in one run. A storm is
over when the last one is back, in two seconds or so, which are too few messages for a percentile:
so there are several, a quiet while before each.
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
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.loadclient import BenchError, Fleet, reset
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
    parser.add_argument("--storms", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0, help="of stream before each storm")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    total = options.clients + options.listeners
    with running(SERVERS["headrace"], total, core=0) as server:
        ours, theirs = multiprocessing.Pipe()
        crowd = multiprocessing.Process(target=_crowd, args=(theirs, server.port, options.clients))
        crowd.start()
        ours.recv()
        stream = _Stream(server.port, options.listeners)
        before: list[float] = []
        during: list[float] = []
        waits: list[float] = []
        for _ in range(options.storms):
            before += stream.run(partial(_is_past, time.monotonic() + options.seconds))
            ours.send("cut")
            during += stream.run(ours.poll)
            waits += ours.recv()
        ours.send(None)
        crowd.join()
    _report("before a storm", before)
    _report("during a storm", during)
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
        """Stream until it is over, and return the latency of every delivery.

        A message is sent when its time has come, whether the one before has arrived or not: a
        stall is felt by all that should have come meanwhile.
        """
        latencies_ms: list[float] = []
        deadline = time.monotonic() + PATIENCE_S
        next_at = time.monotonic()
        sent = 0
        while not is_over() or len(latencies_ms) < sent * len(self._sockets):
            if time.monotonic() > deadline:
                raise BenchError(f"the storm was not over after {PATIENCE_S:g} s")
            wait_s = next_at - time.monotonic()
            if wait_s <= 0 and not is_over():
                self._publisher.publish([b"@%019d" % time.monotonic_ns()])
                next_at += 1 / STREAM_PER_S
                sent += 1
            for descriptor, _ in self._poll.poll(min(max(wait_s, 0), 0.01)):
                data = self._sockets[descriptor].recv(65536)
                now_ns = time.monotonic_ns()
                if not data:
                    raise BenchError("a listener was closed")
                stamps = _STAMP.findall(data)
                latencies_ms += [(now_ns - int(stamp)) / 1e6 for stamp in stamps]
        self._publisher.confirm()
        return latencies_ms


def _crowd(pipe: Connection, port: int, clients: int) -> None:
    """Connect; whenever told, cut all, come back, and send how long each one was away.

    A process of its own, which gives way at once to the listeners whose latency counts: they share
    a core.
    """
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    requests = [handshake(f"client-{number}") for number in range(clients)]
    fleet = Fleet()
    fleet.connect(port, requests, OPENING)
    pipe.send("connected")
    cut = fleet.close
    while pipe.recv():
        cut()
        back = _come_back(port, requests)
        pipe.send([away_s for _, away_s in back])
        cut = partial(reset, [client for client, _ in back])


def _come_back(port: int, requests: Sequence[bytes]) -> list[tuple[socket.socket, float]]:
    """Connect as clients that were cut off now; return each with the seconds it was away."""
    cut_at = time.monotonic()
    due = [(cut_at + random.random() * BASE_S, 0, number) for number in range(len(requests))]
    heapq.heapify(due)
    poll = select.epoll()
    waiting: dict[int, tuple[socket.socket, int, int]] = {}
    back: list[tuple[socket.socket, float]] = []
    while len(back) < len(requests):
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
    poll.close()
    return back


def _is_past(moment: float) -> bool:
    return time.monotonic() > moment


def _report(when: str, latencies_ms: list[float]) -> None:
    print(
        f"{when}: {len(latencies_ms)} deliveries, p50 {_percentile(latencies_ms, 50):.2f} ms,"
        f" p99 {_percentile(latencies_ms, 99):.2f} ms, longest {max(latencies_ms):.2f} ms"
    )


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()
