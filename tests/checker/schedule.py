"""The schedule of a run: which faults happen, and after which share of the messages.

The seed determines the whole schedule.
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from tests.checker.checker_client import CheckerClient
from tests.checker.fault_proxy import Fault, FaultKind, FaultProxy
from tests.checker.options import Options
from tests.checker.restartable_server import ShutdownKind

ScheduledAction = tuple[float, Callable[[], object]]
"""An action, and the share of the messages, from 0 to 1, after which it is due."""

_PUBLISHER_FAULTS_SHARE = 0.03  # additional faults for publishers, relative to those for clients
_STALL_MAX_S = 3.0
_UPSTREAM_SHARE = 0.2
_CLIENT_FAULTS: dict[FaultKind | None, int] = {  # with their weights; None: the client hangs up
    FaultKind.RESET: 30,
    FaultKind.CLOSE: 25,
    FaultKind.STALL: 15,
    FaultKind.DROP: 8,
    FaultKind.FREEZE: 7,
    None: 15,
}
_PUBLISHER_FAULTS = (FaultKind.RESET, FaultKind.CLOSE, FaultKind.STALL)


def schedule_faults(
    options: Options,
    clients: Sequence[CheckerClient],
    client_proxies: Sequence[FaultProxy],
    publisher_proxies: Sequence[FaultProxy],
    hang_up: Callable[[CheckerClient], None],
) -> list[ScheduledAction]:
    """Return the faults of connections; `client_proxies` are in the order of the `clients`."""
    random = options.random("faults")
    schedule: list[ScheduledAction] = []
    for _ in range(int(options.faults * _PUBLISHER_FAULTS_SHARE)):
        kind = random.choice(_PUBLISHER_FAULTS)
        proxy = random.choice(publisher_proxies)
        schedule.append((random.random(), partial(proxy.inject, _random_fault(kind, random))))
    kinds, weights = list(_CLIENT_FAULTS), list(_CLIENT_FAULTS.values())
    for _ in range(options.faults):
        share = random.random()
        number = random.randrange(len(clients))
        chosen = random.choices(kinds, weights)[0]
        if chosen is None:
            schedule.append((share, partial(hang_up, clients[number])))
        else:
            fault = _random_fault(chosen, random)
            schedule.append((share, partial(client_proxies[number].inject, fault)))
    return schedule


def schedule_shutdowns(
    options: Options, shut_down: Callable[[ShutdownKind], None]
) -> list[ScheduledAction]:
    """Return the shutdowns of the server, evenly spread and in random order."""
    planned = (ShutdownKind.RESTART, ShutdownKind.HANDOVER)
    crashes = (ShutdownKind.KILL, ShutdownKind.TERM_AND_KILL)
    kinds = [planned[number % 2] for number in range(options.restarts)]
    kinds += [crashes[number % 2] for number in range(options.kills)]
    options.random("order of shutdowns").shuffle(kinds)
    return [
        (number / (len(kinds) + 1), partial(shut_down, kind))
        for number, kind in enumerate(kinds, start=1)
    ]


def schedule_clock_steps(options: Options, step: Callable[[], None]) -> list[ScheduledAction]:
    """Return the steps of the server's clock."""
    random = options.random("times of clock steps")
    return [(random.random(), step) for _ in range(options.clock_steps)]


def _random_fault(kind: FaultKind, random: Random) -> Fault:
    """Return a fault at a random byte, often within a request, a response head or a first event."""
    upstream = random.random() < _UPSTREAM_SHARE
    after_bytes = int(2 ** random.uniform(0, 9 if upstream else 13))
    return Fault(kind, upstream, after_bytes, random.uniform(0.2, _STALL_MAX_S))
