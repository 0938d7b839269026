"""Measure a reconnect storm: thousands of clients are reset together and reconnect.

    python bench/system/reconnect_storm.py [--clients 5000] [--listeners 200] [--storms 8]

The clients reconnect like the JavaScript client, after `random() * min(30, 0.5 * 2**n)` seconds,
where n counts the failed attempts. Meanwhile a stream of messages goes to `--listeners` other
clients. The run compares its latency before the storms with that during them. A storm ends when the
last client has reconnected. That takes about two seconds, too few messages for a percentile, so a
run has several storms with a quiet period before each.
"""

import argparse
import heapq
import multiprocessing
import os
import random
import select
import socket
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.system.load_client import STAMP, BenchError, LoadClient, connect_client, reset
from bench.system.process_stats import raise_descriptor_limit
from bench.system.publishers import SendPublisher
from bench.system.servers import HEADRACE, OPENING, headrace_handshake, run_server

BACKOFF_BASE_S, BACKOFF_MAX_S = 0.5, 30.0
STORM_TIMEOUT_S = 60.0
STREAM_PER_S = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=5000, help="clients that are reset")
    parser.add_argument("--listeners", type=int, default=200, help="clients that stay connected")
    parser.add_argument("--storms", type=int, default=8)
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="duration of the stream before each storm"
    )
    options = parser.parse_args()
    try:
        _run(options)
    except BenchError as error:
        sys.exit(f"reconnect_storm: {error}")


def _run(options: argparse.Namespace) -> None:
    raise_descriptor_limit(options.clients)
    os.sched_setaffinity(0, {1})
    with run_server(HEADRACE, options.clients + options.listeners, core=0) as server:
        ours, theirs = multiprocessing.Pipe()
        storm = multiprocessing.Process(
            target=_storm_process, args=(theirs, server.port, options.clients)
        )
        storm.start()
        ours.recv()
        stream = _Stream(server.port, options.listeners)
        before: list[float] = []
        during: list[float] = []
        reconnects_s: list[float] = []
        for _ in range(options.storms):
            before += stream.run(partial(_is_past, time.monotonic() + options.seconds))
            ours.send("reset")
            during += stream.run(ours.poll)
            reconnects_s += ours.recv()
        ours.send(None)
        storm.join()
    _print_latencies("before a storm", before)
    _print_latencies("during a storm", during)
    print(f"p99 during / before: {_percentile(during, 99) / _percentile(before, 99):.2f}")
    print(
        f"{options.clients} clients reconnected after {statistics.median(reconnects_s):.2f} s"
        f" (median), {_percentile(reconnects_s, 99):.2f} s (p99), {max(reconnects_s):.2f} s (last)"
    )


class _Stream:
    """A stream of messages to clients that are not reset, and its latencies in milliseconds."""

    def __init__(self, port: int, listeners: int) -> None:
        self._publisher = SendPublisher(port, {"group": "live"})
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for number in range(listeners):
            request = headrace_handshake(f"listener-{number}", ["live"])
            client = connect_client(port, request, OPENING)
            self._poll.register(client, select.EPOLLIN)
            self._sockets[client.fileno()] = client

    def run(self, is_over: Callable[[], bool]) -> list[float]:
        """Stream until `is_over()`, and return the latency of every delivery.

        A message is sent when it is due, even if the previous one has not arrived. So a stall of
        the server delays all messages that were due during it.
        """
        latencies_ms: list[float] = []
        deadline = time.monotonic() + STORM_TIMEOUT_S
        next_at = time.monotonic()
        sent = 0
        while not is_over() or len(latencies_ms) < sent * len(self._sockets):
            if time.monotonic() > deadline:
                raise BenchError(f"the storm did not end within {STORM_TIMEOUT_S:g} s")
            wait_s = next_at - time.monotonic()
            if wait_s <= 0 and not is_over():
                self._publisher.publish([b"@%019d" % time.monotonic_ns()])
                next_at += 1 / STREAM_PER_S
                sent += 1
            for descriptor, _ in self._poll.poll(min(max(wait_s, 0), 0.01)):
                data = self._sockets[descriptor].recv(65536)
                now_ns = time.monotonic_ns()
                if not data:
                    raise BenchError("the server closed a listener")
                stamps = STAMP.findall(data)
                latencies_ms += [(now_ns - int(stamp)) / 1e6 for stamp in stamps]
        self._publisher.confirm()
        return latencies_ms


def _storm_process(pipe: Connection, port: int, clients: int) -> None:
    """Connect. On each request, reset all clients, reconnect, and send the seconds each one took.

    Runs as a process with idle priority, because it shares a core with the listeners whose latency
    is measured.
    """
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    requests = [headrace_handshake(f"client-{number}") for number in range(clients)]
    load = LoadClient()
    load.connect(port, requests, OPENING)
    pipe.send("connected")
    reset_all = load.close
    while pipe.recv():
        reset_all()
        reconnected = _reconnect(port, requests)
        pipe.send([seconds for _, seconds in reconnected])
        reset_all = partial(reset, [client for client, _ in reconnected])


def _reconnect(port: int, requests: Sequence[bytes]) -> list[tuple[socket.socket, float]]:
    """Connect as clients that have just been reset; return each with the seconds that it took."""
    started = time.monotonic()
    due = [
        (started + random.random() * BACKOFF_BASE_S, 0, number) for number in range(len(requests))
    ]
    heapq.heapify(due)
    poll = select.epoll()
    pending: dict[int, tuple[socket.socket, int, int]] = {}
    reconnected: list[tuple[socket.socket, float]] = []
    while len(reconnected) < len(requests):
        while due and due[0][0] <= time.monotonic():
            _, attempt, number = heapq.heappop(due)
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            poll.register(client, select.EPOLLOUT)
            pending[client.fileno()] = (client, attempt, number)
        for descriptor, event in poll.poll(0.005):
            client, attempt, number = pending[descriptor]
            if event == select.EPOLLOUT:
                client.sendall(requests[number])
                poll.modify(client, select.EPOLLIN)
                continue
            try:
                response = client.recv(4096)
            except OSError:
                response = b""
            if OPENING not in response:
                if response.startswith(b"HTTP/1.1 101"):  # the first frame is still to come
                    continue
                client.close()
                limit_s = min(BACKOFF_MAX_S, BACKOFF_BASE_S * 2 ** (attempt + 1))
                retry_at = time.monotonic() + random.random() * limit_s
                heapq.heappush(due, (retry_at, attempt + 1, number))
                continue
            poll.unregister(client)
            del pending[descriptor]
            reconnected.append((client, time.monotonic() - started))
    poll.close()
    return reconnected


def _is_past(moment: float) -> bool:
    return time.monotonic() > moment


def _print_latencies(title: str, latencies_ms: list[float]) -> None:
    print(
        f"{title}: {len(latencies_ms)} deliveries, p50 {_percentile(latencies_ms, 50):.2f} ms,"
        f" p99 {_percentile(latencies_ms, 99):.2f} ms, max {max(latencies_ms):.2f} ms"
    )


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()
