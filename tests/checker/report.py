"""The report of a run: a table by transport, and each violation with the events before it."""

from collections import Counter
from collections.abc import Iterator

from tests.checker.run import RunResult
from tests.checker.verification import ClientResult

_CLIENTS_SHOWN = 10
_VIOLATIONS_SHOWN = 5
_HEADINGS: tuple[str, ...] = (
    "transport", "clients", "expected", "received", "reported losses", "silent losses",
    "duplicates", "out of order", "other", "connections", "recovered:false", "gap frames",
    "dead connections",
)  # fmt: skip
_KINDS_WITH_COLUMN = ("silent loss", "duplicate", "order")
_CLOSED = "closed with "  # then the close code
_COUNTERS = ("connections", "recovered false", "gap frames", "dead connections")


def format_report(run: RunResult, *, every_client: bool = False) -> Iterator[str]:
    """Yield the lines of the report; with `every_client`, one table row for each client."""
    results = run.verification.results
    table = [_HEADINGS]
    if every_client:
        table += [_table_row(result.log.client_id, [result]) for result in results]
    by_transport: dict[str, list[ClientResult]] = {}
    for result in results:
        by_transport.setdefault(result.log.transport, []).append(result)
    table += [_table_row(transport, group) for transport, group in by_transport.items()]
    table.append(_table_row("all", results))
    widths = [max([len(cells[column]) for cells in table]) for column in range(len(_HEADINGS))]
    for cells in table:
        yield "  ".join([cell.rjust(width) for cell, width in zip(cells, widths, strict=True)])
    yield ""
    yield (
        f"accepted {run.accepted} messages, {run.retries} requests repeated,"
        f" {run.verification.accepted_twice} messages accepted twice because of a crash"
    )
    yield f"{run.faults.total()} faults: {_format_counts(run.faults)}"
    closes: Counter[str] = Counter()
    for result in results:
        counts = result.log.counts
        for name in counts:
            if name.startswith(_CLOSED):
                closes[name.removeprefix(_CLOSED)] += counts[name]
    yield f"close codes: {_format_counts(closes)}"
    yield from _format_violations(run)
    kinds = Counter([violation.kind for violation in run.violations])
    for result in results:
        kinds.update([violation.kind for violation in result.violations])
    yield f"FAIL: {_format_counts(kinds)}" if kinds else "PASS: no violations"


def _table_row(title: str, results: list[ClientResult]) -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result.log.counts)
    by_kind = [sum([result.count(kind) for result in results]) for kind in _KINDS_WITH_COLUMN]
    numbers = [
        len(results),
        sum([result.expected for result in results]),
        sum([len(result.log.deliveries) for result in results]),
        sum([result.reported_losses for result in results]),
        *by_kind,
        sum([len(result.violations) for result in results]) - sum(by_kind),
        *[counts[name] for name in _COUNTERS],
    ]
    return title, *map(str, numbers)


def _format_counts(counts: Counter[str]) -> str:
    return ", ".join([f"{name} {count}" for name, count in sorted(counts.items())]) or "none"


def _format_violations(run: RunResult) -> Iterator[str]:
    for violation in run.violations[:_VIOLATIONS_SHOWN]:
        yield f"\n{violation.kind}: {violation.text}"
    failed = [result for result in run.verification.results if result.violations]
    for result in failed[:_CLIENTS_SHOWN]:
        log = result.log
        yield f"\n{log.client_id}, {log.transport}:"
        for violation in result.violations[:_VIOLATIONS_SHOWN]:
            yield f"  {violation.kind}: {violation.text}"
        if len(result.violations) > _VIOLATIONS_SHOWN:
            yield f"  and {len(result.violations) - _VIOLATIONS_SHOWN} more"
        yield "  last events:"
        yield from [f"    {line}" for line in log.trace]
    if len(failed) > _CLIENTS_SHOWN:
        yield f"\nand {len(failed) - _CLIENTS_SHOWN} more clients"
