"""The figures of a run: medians, the ratios to the bare loop, a table and JSON."""

import json
import platform
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

MAX_RATIO = 1.35
"""Headrace's CPU per delivery over the bare loop's, one message a tick."""

MAX_BURST_RATIO = MAX_RATIO / 4
"""The same with ten messages a tick, over the bare loop's with one."""

MAX_IDLE_BYTES = 4096
"""Resident memory of an idle client."""


@dataclass(frozen=True)
class Series:
    """Some ticks of one server: CPU time of the server per delivery, and latencies."""

    cpu_us: float
    deliveries: int
    deliveries_per_s: float
    latencies_ms: list[float]


@dataclass(frozen=True)
class Round:
    """One start of one server: a message a tick, ten a tick, and what an idle client costs."""

    single: Series
    burst: Series
    memory_bytes: float
    kernel_bytes: float
    connects_per_s: float


def summarize(
    results: Mapping[str, list[Round]],
    options: Mapping[str, object],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Medians over the rounds; ratios are taken within a round and then their median."""
    bare = results.get("bare")
    servers = {}
    for name, rounds in results.items():
        row: dict[str, Any] = {
            "connects_per_s": _median(each.connects_per_s for each in rounds),
            "idle_bytes_per_client": _median(each.memory_bytes for each in rounds),
            "kernel_bytes_per_connection": _median(each.kernel_bytes for each in rounds),
        }
        for kind in ("single", "burst"):
            series: list[Series] = [getattr(each, kind) for each in rounds]
            cuts = [statistics.quantiles(each.latencies_ms, n=100) for each in series]
            row[kind] = {
                "cpu_us_per_delivery": _median(each.cpu_us for each in series),
                "cpu_us_of_rounds": [round(each.cpu_us, 3) for each in series],
                "deliveries": sum(each.deliveries for each in series),
                "deliveries_per_s": _median(each.deliveries_per_s for each in series),
                "p50_ms": _median(each[49] for each in cuts),
                "p99_ms": _median(each[98] for each in cuts),
            }
            if bare:
                row[kind]["ratio_to_bare_single"] = _median(
                    each.cpu_us / base.single.cpu_us
                    for each, base in zip(series, bare, strict=True)
                )
        servers[name] = row
    chosen = {key: options[key] for key in ("clients", "bytes", "rounds", "ticks")}
    return {"machine": machine(versions), "options": chosen, "servers": servers}


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


def machine(versions: Mapping[str, str]) -> dict[str, str]:
    """Return what a reader must know to compare; neither names nor paths of this machine."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "uvloop": metadata.version("uvloop"),
        "headrace": metadata.version("headrace"),
        **versions,
    }


_COLUMNS = (
    ("server", "<", ""),
    ("1/tick us", ">", "single.cpu_us_per_delivery"),
    ("x bare", ">", "single.ratio_to_bare_single"),
    ("p50 ms", ">", "single.p50_ms"),
    ("p99 ms", ">", "single.p99_ms"),
    ("10/tick us", ">", "burst.cpu_us_per_delivery"),
    ("x bare", ">", "burst.ratio_to_bare_single"),
    ("p50 ms", ">", "burst.p50_ms"),
    ("p99 ms", ">", "burst.p99_ms"),
    ("KiB/client", ">", "idle_bytes_per_client"),
    ("kernel KiB", ">", "kernel_bytes_per_connection"),
    ("connects/s", ">", "connects_per_s"),
)


def table(summary: Mapping[str, Any]) -> str:
    """Return the result as aligned text, with Headrace's targets below it."""
    rows = [[title for title, _, _ in _COLUMNS]]
    for name, row in summary["servers"].items():
        rows.append([name, *(_cell(row, path) for _, _, path in _COLUMNS[1:])])
    widths = [max(len(row[at]) for row in rows) for at in range(len(_COLUMNS))]
    lines = [
        "  ".join(
            f"{cell:{align}{width}}"
            for cell, width, (_, align, _) in zip(row, widths, _COLUMNS, strict=True)
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    options = summary["options"]
    machine_facts = ", ".join(f"{key} {value}" for key, value in summary["machine"].items())
    head = (
        f"{options['clients']:,} clients, {options['bytes']} B to all, {options['ticks']} ticks,"
        f" rounds: {options['rounds']} (medians); server CPU per delivery"
    )
    return "\n".join(["", head, machine_facts, "", *lines, *_verdict(summary["servers"]), ""])


def _cell(row: Mapping[str, Any], path: str) -> str:
    value: Any = row
    for key in path.split("."):
        value = value.get(key, "")
    if value == "":
        return "-"
    if path == "connects_per_s":
        return f"{value:,.0f}"
    if "_bytes_per_" in path:
        return f"{value / 1024:.1f}"
    return f"{value:.1f}" if path.endswith("_ms") else f"{value:.2f}"


def _verdict(servers: Mapping[str, Any]) -> list[str]:
    row = servers.get("headrace")
    if row is None or "bare" not in servers:
        return []
    judged = (
        ("one a tick, CPU over bare", row["single"]["ratio_to_bare_single"], MAX_RATIO),
        ("ten a tick, CPU over bare's one", row["burst"]["ratio_to_bare_single"], MAX_BURST_RATIO),
        ("idle memory a client, KiB", row["idle_bytes_per_client"] / 1024, MAX_IDLE_BYTES / 1024),
    )
    width = max(len(what) for what, _, _ in judged)
    return ["", "Headrace's targets"] + [
        f"  {what:<{width}}  {value:6.3f}  at most {most:.4g}"
        f"  {'met' if value <= most else 'MISSED'}"
        for what, value, most in judged
    ]


def write(summary: Mapping[str, Any], path: Path) -> None:
    """Write the result as JSON."""
    path.write_text(json.dumps(summary, indent=2) + "\n")
