"""Tells what a run came to: a table by transport, and each broken promise with what led to it."""

from collections import Counter
from collections.abc import Iterator

from tests.checker.run import Outcome
from tests.checker.verdict import Row

_CLIENTS_SHOWN = 10
_VIOLATIONS_SHOWN = 5
_HEADINGS: tuple[str, ...] = (
    "transport", "clients", "expected", "received", "lost, told", "silent gaps", "duplicates",
    "out of order", "other", "connections", "recovered:false", "gap notices", "dead lines",
)  # fmt: skip
_SHOWN_APART = ("silent gap", "duplicate", "order")


def report(outcome: Outcome, *, every_client: bool = False) -> Iterator[str]:
    """Yield lines; with `every_client` a row of the table for each."""
    rows = outcome.verdict.rows
    table = [_HEADINGS]
    if every_client:
        table += [_cells(row.journal.client_id, [row]) for row in rows]
    for transport in dict.fromkeys([row.journal.transport for row in rows]):
        table.append(_cells(transport, [row for row in rows if row.journal.transport == transport]))
    table.append(_cells("all", rows))
    widths = [max([len(cells[column]) for cells in table]) for column in range(len(_HEADINGS))]
    for cells in table:
        yield "  ".join([cell.rjust(width) for cell, width in zip(cells, widths, strict=True)])
    yield ""
    yield (
        f"accepted {outcome.accepted} messages, {outcome.retries} publishes tried again,"
        f" {outcome.verdict.doubled} accepted twice over a crash"
    )
    yield f"{outcome.faults.total()} faults: {_listed(outcome.faults)}"
    closes: Counter[str] = Counter()
    for row in rows:
        closes.update({k: n for k, n in row.journal.counts.items() if k.startswith("closed")})
    yield f"goodbyes: {_listed(closes)}"
    yield from _violations(outcome)
    kinds = Counter([violation.kind for violation in outcome.violations])
    for row in rows:
        kinds.update([violation.kind for violation in row.violations])
    yield f"FAIL: {_listed(kinds)}" if kinds else "PASS: every promise was kept"


def _cells(title: str, rows: list[Row]) -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(row.journal.counts)
    apart = [sum([row.count(kind) for row in rows]) for kind in _SHOWN_APART]
    numbers = [
        len(rows),
        sum([row.expected for row in rows]),
        sum([len(row.journal.received) for row in rows]),
        sum([row.told for row in rows]),
        *apart,
        sum([len(row.violations) for row in rows]) - sum(apart),
        *[counts[k] for k in ("connections", "recovered false", "gap notices", "dead lines")],
    ]
    return title, *map(str, numbers)


def _listed(counts: Counter[str]) -> str:
    return ", ".join([f"{name} {count}" for name, count in sorted(counts.items())]) or "none"


def _violations(outcome: Outcome) -> Iterator[str]:
    for violation in outcome.violations[:_VIOLATIONS_SHOWN]:
        yield f"\n{violation.kind}: {violation.text}"
    broken = [row for row in outcome.verdict.rows if row.violations]
    for row in broken[:_CLIENTS_SHOWN]:
        journal = row.journal
        yield f"\n{journal.client_id} over {journal.transport}:"
        for violation in row.violations[:_VIOLATIONS_SHOWN]:
            yield f"  {violation.kind}: {violation.text}"
        if len(row.violations) > _VIOLATIONS_SHOWN:
            yield f"  and {len(row.violations) - _VIOLATIONS_SHOWN} more"
        yield "  what led to it:"
        yield from [f"    {line}" for line in journal.trace]
    if len(broken) > _CLIENTS_SHOWN:
        yield f"\nand {len(broken) - _CLIENTS_SHOWN} more clients"
