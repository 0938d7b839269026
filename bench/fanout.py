"""Fan-out, whole processes: what one delivery costs the server, beside the bare loop.

    .venv/bin/python bench/fanout.py
    .venv/bin/python bench/fanout.py --server headrace,bare,websockets,ws --json result.json

The server under test has one core for itself, this process with its clients another. See
docs/benchmarks.md for what is measured and how to read it.
"""

import argparse
import gc
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.loadclient import STAMP_BYTES, BenchError, Fleet
from bench.servers import SERVERS, Running, Server, running

BURST = 10
"""Messages of the second series' ticks."""

WARM_UP_TICKS = 3
"""Ticks before each series that do not count: they fill caches and end TCP's slow start."""

PAUSE_S = 0.002
"""Between ticks, so that the server is idle when the next one begins."""

SPARE_DESCRIPTORS = 200
"""What a process needs beside one descriptor for each client."""


def main() -> None:
    options = _options()
    names = list(dict.fromkeys(options.server.split(",")))
    try:
        if unknown := [name for name in names if name not in SERVERS]:
            raise BenchError(f"no server {unknown[0]!r}; there are {', '.join(SERVERS)}")
        versions: dict[str, str] = {}
        for name in names:
            SERVERS[name].check()
            versions |= SERVERS[name].versions()
        client_core, server_core = _cores()
        _raise_descriptor_limit(options.clients + SPARE_DESCRIPTORS)
        os.sched_setaffinity(0, {client_core})
        results: dict[str, list[report.Round]] = {name: [] for name in names}
        for number in range(options.rounds):
            for name in names:
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
                results[name].append(_round(SERVERS[name], options, server_core))
    except BenchError as error:
        sys.exit(f"fanout: {error}")
    summary = report.summarize(results, vars(options), versions)
    print(report.table(summary))
    if options.json:
        report.write(summary, options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=_bounded(100, 19000), default=5000)
    parser.add_argument("--bytes", type=_bounded(STAMP_BYTES, 32768), default=128)
    parser.add_argument("--rounds", type=_bounded(1, 20), default=3)
    parser.add_argument("--ticks", type=_bounded(1, 1000), default=20, help="with one message each")
    parser.add_argument(
        "--server", default="bare,headrace", help=f"comma-separated, of {', '.join(SERVERS)}"
    )
    parser.add_argument("--json", type=Path, help="write the result to this file too")
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


def _raise_descriptor_limit(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        raise BenchError(
            f"needs {needed} file descriptors, the hard limit is {hard}:"
            f" try --clients {hard - SPARE_DESCRIPTORS}, or raise `ulimit -Hn`"
        )
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _round(server: Server, options: argparse.Namespace, core: int) -> report.Round:
    """Start the server, connect, measure both series, and stop it."""
    requests = [server.request(number) for number in range(options.clients)]
    with running(server, options.clients, core) as target:
        fleet = Fleet()
        try:
            before = _resident_bytes(target.pid)
            kernel_before = _kernel_bytes()
            connect_s = fleet.connect(target.port, requests, server.opening)
            time.sleep(0.2)
            memory = (_resident_bytes(target.pid) - before) / options.clients
            kernel = (_kernel_bytes() - kernel_before) / options.clients
            single = _series(fleet, target, 1, options)
            burst = _series(fleet, target, BURST, options)
        finally:
            fleet.close()
    return report.Round(
        single=single,
        burst=burst,
        memory_bytes=memory,
        kernel_bytes=kernel,
        connects_per_s=options.clients / connect_s,
    )


def _series(
    fleet: Fleet, target: Running, count: int, options: argparse.Namespace
) -> report.Series:
    """Measure ticks of `count` messages each; half as many ticks where each carries more."""
    ticks = options.ticks if count == 1 else max(1, options.ticks // 2)
    for _ in range(WARM_UP_TICKS):
        fleet.tick(target.publisher, count, options.bytes)
    time.sleep(PAUSE_S)
    fleet.latencies_ns.clear()
    gc.disable()
    cpu_ns, started = _cpu_ns(target.pid), time.monotonic()
    for _ in range(ticks):
        fleet.tick(target.publisher, count, options.bytes)
        time.sleep(PAUSE_S)
    cpu_ns, elapsed = _cpu_ns(target.pid) - cpu_ns, time.monotonic() - started
    gc.enable()
    deliveries = ticks * options.clients * count
    return report.Series(
        cpu_us=cpu_ns / 1000 / deliveries,
        deliveries=deliveries,
        deliveries_per_s=deliveries / elapsed,
        latencies_ms=[nanoseconds / 1e6 for nanoseconds in fleet.latencies_ns],
    )


def _cpu_ns(pid: int) -> int:
    """CPU time of a whole process: `clock_getcpuclockid(3)`, whose layout Linux fixes."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def _kernel_bytes() -> int:
    """Kernel objects and TCP buffers of the whole machine: noisy, and both ends' sockets."""
    memory = Path("/proc/meminfo").read_text()
    slab_kib = int(memory.partition("Slab:")[2].split()[0])
    tcp = Path("/proc/net/sockstat").read_text().partition("TCP:")[2].split()
    return slab_kib * 1024 + int(tcp[tcp.index("mem") + 1]) * os.sysconf("SC_PAGESIZE")


if __name__ == "__main__":
    main()
