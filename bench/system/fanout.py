"""Measure the server's cost of one delivery, and compare it with that of the bare server.

    .venv/bin/python bench/system/fanout.py
    .venv/bin/python bench/system/fanout.py --server headrace,bare,websockets,ws --json result.json

The server under test runs alone on one core; this process with its clients runs on another. See
docs/benchmarks.md for what is measured and how to read the result.
"""

import argparse
import gc
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.system import report
from bench.system.load_client import STAMP_BYTES, BenchError, LoadClient
from bench.system.process_stats import (
    cpu_ns,
    kernel_bytes,
    raise_descriptor_limit,
    resident_bytes,
)
from bench.system.servers import SERVERS, RunningServer, ServerSpec, run_server

BURST_MESSAGES = 10
"""Messages per tick in the second series."""

WARM_UP_TICKS = 3
"""Uncounted ticks before each series: they fill caches and end TCP's slow start."""

PAUSE_S = 0.002
"""Pause between ticks, so that the server is idle when the next one begins."""


def main() -> None:
    options = _parse_options()
    names = list(dict.fromkeys(options.server.split(",")))
    try:
        if unknown := [name for name in names if name not in SERVERS]:
            raise BenchError(f"unknown server {unknown[0]!r}; use one of {', '.join(SERVERS)}")
        versions: dict[str, str] = {}
        for name in names:
            SERVERS[name].check_installed()
            versions |= SERVERS[name].versions()
        client_core, server_core = _cores()
        raise_descriptor_limit(options.clients)
        os.sched_setaffinity(0, {client_core})
        results: dict[str, list[report.Round]] = {name: [] for name in names}
        for number in range(options.rounds):
            for name in names:
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
                results[name].append(_measure_round(SERVERS[name], options, server_core))
    except BenchError as error:
        sys.exit(f"fanout: {error}")
    summary = report.summarize(results, vars(options), versions)
    print(report.format_table(summary))
    if options.json:
        report.write_json(summary, options.json)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=_bounded(100, 19000), default=5000)
    parser.add_argument(
        "--bytes", type=_bounded(STAMP_BYTES, 32768), default=128, help="size of a message"
    )
    parser.add_argument("--rounds", type=_bounded(1, 20), default=3)
    parser.add_argument(
        "--ticks",
        type=_bounded(1, 1000),
        default=20,
        help="ticks of one message; half as many ticks of ten messages",
    )
    parser.add_argument(
        "--server",
        default="bare,headrace",
        help=f"comma-separated list of servers: {', '.join(SERVERS)}",
    )
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    return parser.parse_args()


class _bounded:  # noqa: N801 - argparse shows this name to the user
    def __init__(self, lowest: int, highest: int) -> None:
        self._lowest, self._highest = lowest, highest

    def __call__(self, text: str) -> int:
        value = int(text)
        if not self._lowest <= value <= self._highest:
            raise argparse.ArgumentTypeError(
                f"{value} is not between {self._lowest} and {self._highest}"
            )
        return value


def _cores() -> tuple[int, int]:
    """Return the first and the last core that this process may use."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("needs two cores, one for the server and one for its clients")
    return cores[0], cores[-1]


def _measure_round(spec: ServerSpec, options: argparse.Namespace, core: int) -> report.Round:
    """Start the server, connect the clients, measure both series, and stop the server."""
    requests = [spec.request(number) for number in range(options.clients)]
    with run_server(spec, options.clients, core) as server:
        clients = LoadClient()
        try:
            before = resident_bytes(server.pid)
            kernel_before = kernel_bytes()
            connect_s = clients.connect(server.port, requests, spec.opening)
            time.sleep(0.2)  # allocations after the handshakes
            memory = (resident_bytes(server.pid) - before) / options.clients
            kernel = (kernel_bytes() - kernel_before) / options.clients
            single = _measure_series(clients, server, 1, options)
            burst = _measure_series(clients, server, BURST_MESSAGES, options)
        finally:
            clients.close()
    return report.Round(
        single=single,
        burst=burst,
        memory_bytes=memory,
        kernel_bytes=kernel,
        connects_per_s=options.clients / connect_s,
    )


def _measure_series(
    clients: LoadClient, server: RunningServer, count: int, options: argparse.Namespace
) -> report.Series:
    """Measure ticks of `count` messages each; half as many ticks if `count` is more than one."""
    ticks = options.ticks if count == 1 else max(1, options.ticks // 2)
    for _ in range(WARM_UP_TICKS):
        clients.tick(server.publisher, count, options.bytes)
    time.sleep(PAUSE_S)
    clients.latencies_ns.clear()
    gc.disable()
    used_ns, started = cpu_ns(server.pid), time.monotonic()
    for _ in range(ticks):
        clients.tick(server.publisher, count, options.bytes)
        time.sleep(PAUSE_S)
    used_ns, elapsed_s = cpu_ns(server.pid) - used_ns, time.monotonic() - started
    gc.enable()
    deliveries = ticks * options.clients * count
    return report.Series(
        cpu_us=used_ns / 1000 / deliveries,
        deliveries=deliveries,
        deliveries_per_s=deliveries / elapsed_s,
        latencies_ms=[nanoseconds / 1e6 for nanoseconds in clients.latencies_ns],
    )


if __name__ == "__main__":
    main()
