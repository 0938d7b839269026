"""The result of a fan-out run: medians, ratios to the bare server, as a table and as JSON."""

import json
import platform
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

MAX_RATIO = 1.35
"""Target: Headrace's CPU time per delivery over the bare server's, one message per tick."""

MAX_BURST_RATIO = MAX_RATIO / 4
"""Target: the same with ten messages per tick, over the bare server's with one."""

MAX_IDLE_BYTES = 4096
"""Target: resident memory of an idle client."""


@dataclass(frozen=True)
class Series:
    """Some ticks of one server: CPU time of the server per delivery, and latencies."""

    cpu_us: float
    deliveries: int
    deliveries_per_s: float
    latencies_ms: list[float]


@dataclass(frozen=True)
class Round:
    """One start of one server: one message per tick, ten per tick, and the cost of idle clients."""

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
    """Return the medians over the rounds. A ratio is the median of the ratios of each round."""
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
            percentiles = [statistics.quantiles(each.latencies_ms, n=100) for each in series]
            row[kind] = {
                "cpu_us_per_delivery": _median(each.cpu_us for each in series),
                "cpu_us_of_rounds": [round(each.cpu_us, 3) for each in series],
                "deliveries": sum(each.deliveries for each in series),
                "deliveries_per_s": _median(each.deliveries_per_s for each in series),
                "p50_ms": _median(each[49] for each in percentiles),
                "p99_ms": _median(each[98] for each in percentiles),
            }
            if bare:
                row[kind]["ratio_to_bare_single"] = _median(
                    each.cpu_us / base.single.cpu_us
                    for each, base in zip(series, bare, strict=True)
                )
        servers[name] = row
    chosen = {key: options[key] for key in ("clients", "bytes", "rounds", "ticks")}
    return {"machine": describe_machine(versions), "options": chosen, "servers": servers}


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


def describe_machine(versions: Mapping[str, str]) -> dict[str, str]:
    """Return CPU model and versions, to compare results; no host names or paths."""
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


def format_table(summary: Mapping[str, Any]) -> str:
    """Return the result as aligned text, followed by Headrace's targets."""
    rows = [[title for title, _, _ in _COLUMNS]]
    for name, row in summary["servers"].items():
        rows.append([name, *(_format_cell(row, path) for _, _, path in _COLUMNS[1:])])
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
    machine = ", ".join(f"{key} {value}" for key, value in summary["machine"].items())
    head = (
        f"{options['clients']:,} clients, {options['bytes']} B to everyone,"
        f" {options['ticks']} ticks, medians of {options['rounds']} rounds;"
        " CPU time of the server per delivery"
    )
    return "\n".join(["", head, machine, "", *lines, *_format_targets(summary["servers"]), ""])


def _format_cell(row: Mapping[str, Any], path: str) -> str:
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


def _format_targets(servers: Mapping[str, Any]) -> list[str]:
    row = servers.get("headrace")
    if row is None or "bare" not in servers:
        return []
    targets = (
        ("1/tick, CPU x bare", row["single"]["ratio_to_bare_single"], MAX_RATIO),
        ("10/tick, CPU x bare 1/tick", row["burst"]["ratio_to_bare_single"], MAX_BURST_RATIO),
        ("idle memory, KiB/client", row["idle_bytes_per_client"] / 1024, MAX_IDLE_BYTES / 1024),
    )
    width = max(len(title) for title, _, _ in targets)
    return ["", "Headrace's targets"] + [
        f"  {title:<{width}}  {value:6.3f}  at most {limit:.4g}"
        f"  {'met' if value <= limit else 'MISSED'}"
        for title, value, limit in targets
    ]


def write_json(summary: Mapping[str, Any], path: Path) -> None:
    """Write the result as JSON."""
    path.write_text(json.dumps(summary, indent=2) + "\n")
