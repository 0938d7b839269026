"""CPU time, memory and file descriptors of processes, read from Linux."""

import os
import resource
import time
from pathlib import Path

from bench.system.load_client import BenchError

SPARE_DESCRIPTORS = 500
"""File descriptors that a process needs beside one for each client."""


def cpu_ns(pid: int) -> int:
    """Return the CPU time, user and system, that all threads of a process have used.

    The clock ID is computed as `clock_getcpuclockid(3)` does; Linux keeps its layout stable.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process (proc(5), statm)."""
    statm = Path(f"/proc/{pid}/statm").read_text()
    return int(statm.split()[1]) * os.sysconf("SC_PAGESIZE")


def kernel_bytes() -> int:
    """Return the kernel objects and TCP buffers of the whole machine.

    The figure is noisy, and it includes the sockets of both ends of a connection.
    """
    memory = Path("/proc/meminfo").read_text()
    slab_kib = int(memory.partition("Slab:")[2].split()[0])
    tcp = Path("/proc/net/sockstat").read_text().partition("TCP:")[2].split()
    return slab_kib * 1024 + int(tcp[tcp.index("mem") + 1]) * os.sysconf("SC_PAGESIZE")


def raise_descriptor_limit(clients: int) -> None:
    """Raise the soft limit of file descriptors so that this process can open `clients` sockets.

    Raises BenchError if the hard limit is too low.
    """
    needed = clients + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        raise BenchError(
            f"{clients} clients need {needed} file descriptors, but the hard limit is {hard}:"
            f" use at most {hard - SPARE_DESCRIPTORS} clients, or raise `ulimit -Hn`"
        )
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
