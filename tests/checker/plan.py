"""What is to happen, and at which part of the messages: all of it follows from the seed."""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from tests.checker.client import Client
from tests.checker.options import Options
from tests.checker.proxy import Fault, Gate, Kind
from tests.checker.server import End

Planned = tuple[float, Callable[[], object]]
"""From 0 to 1, after which part of the messages; and what to do then."""

_PUBLISHERS_SHARE = 0.03  # so many faults more hit publishers
_STALL_MAX_S = 3.0
_KINDS = (Kind.RESET, Kind.CLOSE, Kind.STALL, Kind.DROP, Kind.FREEZE, None)  # None: hang up
_WEIGHTS = (30, 25, 15, 8, 7, 15)


def plan_faults(
    options: Options,
    clients: Sequence[Client],
    gates: Sequence[Gate],
    publishers: Sequence[Gate],
    hang_up: Callable[[Client], None],
) -> list[Planned]:
    """Return the faults of connections; `gates` are those of the `clients`."""
    random = options.random("faults")
    plan: list[Planned] = []
    for _ in range(int(options.faults * _PUBLISHERS_SHARE)):
        kind = random.choice((Kind.RESET, Kind.CLOSE, Kind.STALL))
        gate = random.choice(publishers)
        plan.append((random.random(), partial(gate.arm, _fault(kind, random))))
    for _ in range(options.faults):
        share = random.random()
        number = random.randrange(len(clients))
        chosen = random.choices(_KINDS, _WEIGHTS)[0]
        if chosen is None:
            plan.append((share, partial(hang_up, clients[number])))
        else:
            plan.append((share, partial(gates[number].arm, _fault(chosen, random))))
    return plan


def plan_ends(options: Options, end: Callable[[End], None]) -> list[Planned]:
    """Return the ends of the server's lives, evenly spread and in a random order."""
    planned, sudden = (End.RESTART, End.HANDOVER), (End.KILL, End.IMPATIENT)
    ends = [planned[number % 2] for number in range(options.restarts)]
    ends += [sudden[number % 2] for number in range(options.kills)]
    options.random("order of ends").shuffle(ends)
    return [
        (number / (len(ends) + 1), partial(end, each)) for number, each in enumerate(ends, start=1)
    ]


def plan_clock(options: Options, step: Callable[[], None]) -> list[Planned]:
    """Return the steps of the server's clock."""
    random = options.random("times of steps")
    return [(random.random(), step) for _ in range(options.clock_steps)]


def _fault(kind: Kind, random: Random) -> Fault:
    """Return a fault at a random byte, often within a request, a head or a first event."""
    upward = random.random() < 0.2
    after_bytes = int(2 ** random.uniform(0, 9 if upward else 13))
    return Fault(kind, upward, after_bytes, random.uniform(0.2, _STALL_MAX_S))
