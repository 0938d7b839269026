"""A long run of one target: structured inputs and mutations, in turns, until the time is over."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings
from tests.hardening.fuzz import corpus
from tests.hardening.fuzz.mutation import mutate
from tests.hardening.fuzz.target import INPUT_MAX_BYTES, Target

PROGRESS_S = 10.0

_POOL_MAX_COUNT = 2000
"""Structured inputs that are kept to be mutated, besides the corpus."""

_BUFFER_MAX_BYTES = 2048
"""Random bytes from which Hypothesis makes one structured input."""

_MINIMIZE_MAX_TRIES = 3000


@dataclass
class Report:
    """The result of a run: the number of inputs, the seconds, and the crashes."""

    inputs: int = 0
    seconds: float = 0.0
    crashes: dict[str, Path] = field(default_factory=dict)
    """The file of the first input for each place in the code that raised."""

    def __str__(self) -> str:
        per_s = self.inputs / self.seconds if self.seconds else 0.0
        return (
            f"{self.inputs} inputs in {self.seconds:.0f} s, {per_s:.0f}/s,"
            f" {len(self.crashes)} crashes"
        )


def fuzz(target: Target, *, seed: int, seconds: float, output: Callable[[str], None]) -> Report:
    """Run the target for some seconds; save each new crash into the corpus."""
    random = Random(f"{seed}/{target.name}")
    pool = corpus.inputs(target.name)
    kept = len(pool)
    generate = generator(target)
    report = Report()
    started = time.monotonic()
    next_progress = started + PROGRESS_S
    while (now := time.monotonic()) < started + seconds:
        if now >= next_progress:
            next_progress = now + PROGRESS_S
            report.seconds = now - started
            output(f"{target.name}: {report}")
        if not pool or report.inputs % 4 == 0:
            data = generate(random)[:INPUT_MAX_BYTES]
            if len(pool) - kept < _POOL_MAX_COUNT:
                pool.append(data)
            elif pool[kept:]:
                pool[random.randrange(kept, len(pool))] = data
        else:
            data = mutate(random, random.choice(pool), pool, target.dictionary)
        report.inputs += 1
        check(target, data, report, output)
    report.seconds = time.monotonic() - started
    return report


def generator(target: Target) -> Callable[[Random], bytes]:
    """Return a function that makes a structured input."""
    made: list[bytes] = []

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(target.strategy)
    def record(data: bytes) -> None:
        made.append(data)

    fuzz_one_input = record.hypothesis.fuzz_one_input  # type: ignore[attr-defined]  # set by `@given`

    def generate(random: Random) -> bytes:
        made.clear()
        while not made:  # too few random bytes make no input
            fuzz_one_input(random.randbytes(random.randint(1, _BUFFER_MAX_BYTES)))
        return made[-1]

    return generate


def check(target: Target, data: bytes, report: Report, output: Callable[[str], None]) -> None:
    """Check one input; save it if it is the first that fails in its place."""
    failure = failure_of(target, data)
    if failure is None or failure in report.crashes:
        return
    smallest = minimize(target, data, failure)
    path = report.crashes[failure] = corpus.save_crash(target.name, smallest)
    output(f"{target.name}: {path}: {failure}\n{smallest!r}")
    try:
        target.check(smallest)
    except Exception:  # noqa: BLE001 - any exception that gets here is a finding
        output(traceback.format_exc())


def failure_of(target: Target, data: bytes) -> str | None:
    """Return the type of the exception and the place that raised it; None if the check passes."""
    try:
        target.check(data)
    except Exception as error:  # noqa: BLE001 - any exception that gets here is a finding
        places = traceback.extract_tb(error.__traceback__)
        own = [
            place
            for place in places
            if "hardening" in place.filename or "headrace" in place.filename
        ]
        place = own[-1] if own else places[-1]
        return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
    return None


def minimize(target: Target, data: bytes, failure: str) -> bytes:
    """Return a smaller input with the same failure, by removing runs of bytes."""
    tries = 0
    size = len(data) // 2
    while size:
        start = 0
        while start < len(data) and tries < _MINIMIZE_MAX_TRIES:
            shorter = data[:start] + data[start + size :]
            tries += 1
            if failure_of(target, shorter) == failure:
                data = shorter
            else:
                start += size
        size //= 2
    return data
