"""One soak run: processes, rounds, samples and the checks at the end."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from tests.hardening.soak.peers import QUICK_ACTIONS, SLOW_ACTIONS, Load, connect_wave
from tests.hardening.soak.server import ServerProcess

GROWTH_MAX = 0.05
"""How much more memory there may be after the last round than after the warm-up."""

IDLE_TIMEOUT_S = 40.0
"""Until all descriptors of a round are closed: the longest timeout of a request is 30 s."""

PEAK_FACTOR = 2
"""The warm-up runs all actions at once with so many times the clients: no later round is larger."""

PAUSE_MAX_S = 0.5
"""Between two quick actions, so that a long run leaves the machine to others too."""

_POLL_S = 0.1
_SETTLE_S = 1.0
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Options:
    """The size of a run. `processes` share the time; each begins with `warm_up_rounds`."""

    seed: int = 1
    seconds: float = 1800.0
    processes: int = 3
    warm_up_rounds: int = 4
    rounds_min: int = 3
    clients: int = 100
    patience_s: float = 12.0


@dataclass
class Life:
    """The samples of one process: resident bytes after each round."""

    descriptors_at_start: int
    descriptors: list[int] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class Report:
    """The result: one `Life` for each process, and the number of clients served and cut."""

    lives: list[Life] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def problems(self) -> list[str]:
        return [
            f"process {number}: {problem}"
            for number, life in enumerate(self.lives, start=1)
            for problem in life.problems
        ]


async def soak(options: Options, state_dir: Path, output: Callable[[str], None]) -> Report:
    """Run the processes one after the other; each hands over to the next."""
    random = Random(options.seed)
    report = Report()
    process = await ServerProcess.start(state_dir, 0)
    successor = None
    try:
        await process.wait_until_listening()
        for number in range(1, options.processes + 1):
            load = Load(process.port, random, options.clients, options.patience_s, report.counts)
            life = await live(process, load, options, output)
            report.lives.append(life)
            check_life(life, options)
            if number == options.processes:
                await process.stop()
                life.problems += process.problems
                break
            successor = await hand_over(process, state_dir, load)
            life.problems += process.problems
            output(f"handed over from process {process.pid} to {successor.pid}")
            process = successor
    finally:
        await process.kill()
        if successor is not None:
            await successor.kill()
    return report


async def live(
    process: ServerProcess, load: Load, options: Options, output: Callable[[str], None]
) -> Life:
    """Run rounds against one process for its share of the time, and at least a few."""
    life = Life(process.descriptors)
    until = time.monotonic() + options.seconds / options.processes
    peak = replace(load, clients=load.clients * PEAK_FACTOR)
    rounds_min = options.warm_up_rounds + options.rounds_min
    while time.monotonic() < until or len(life.resident) < rounds_min:
        if len(life.resident) < options.warm_up_rounds:
            await asyncio.gather(*(action(peak) for action in QUICK_ACTIONS + SLOW_ACTIONS))
        else:
            await run_round(load)
        await wait_until_idle(process, life)
        life.resident.append(process.resident_bytes)
        life.descriptors.append(process.descriptors)
        output(
            f"process {process.pid} round {len(life.resident)}:"
            f" {life.resident[-1] / _MIB:.1f} MiB, {life.descriptors[-1]} descriptors"
        )
    return life


async def run_round(load: Load) -> None:
    """Run the slow actions, and meanwhile quick ones in a random order with random pauses."""
    slow = asyncio.gather(*(action(load) for action in SLOW_ACTIONS))
    while True:
        await load.random.choice(QUICK_ACTIONS)(load)
        if slow.done():
            break
        await asyncio.sleep(load.random.uniform(0, PAUSE_MAX_S))
    await slow


async def wait_until_idle(process: ServerProcess, life: Life) -> None:
    """Wait until the process has only the descriptors that it had at its start."""
    deadline = time.monotonic() + IDLE_TIMEOUT_S
    # /proc reports no changes, so it is read again and again.
    while (  # noqa: ASYNC110 - the state is in another process
        process.descriptors > life.descriptors_at_start and time.monotonic() < deadline
    ):
        await asyncio.sleep(_POLL_S)
    # What is left of the round in the server's timers: graces, departures, young garbage.
    await asyncio.sleep(_SETTLE_S)


async def hand_over(process: ServerProcess, state_dir: Path, load: Load) -> ServerProcess:
    """Start the next process, then stop this one while clients connect."""
    successor = await ServerProcess.start(state_dir, process.port)
    try:
        await successor.wait_until_standby()
        wave = asyncio.create_task(connect_wave(load))
        await process.stop()
        await wave
        await successor.wait_until_listening()
    except BaseException:
        await successor.kill()
        raise
    return successor


def check_life(life: Life, options: Options) -> None:
    """Add the problems that the samples show."""
    # The lower of the last two rounds: the peaks of rounds differ, but a leak stays.
    warm, last = life.resident[options.warm_up_rounds - 1], min(life.resident[-2:])
    if last > warm * (1 + GROWTH_MAX):
        life.problems.append(
            f"memory grew from {warm / _MIB:.1f} MiB after the warm-up to {last / _MIB:.1f} MiB"
        )
    if max(life.descriptors) > life.descriptors_at_start:
        life.problems.append(
            f"descriptors: {life.descriptors_at_start} at the start, then {life.descriptors}"
        )
