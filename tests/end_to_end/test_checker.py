"""Short runs of the checker: no violation without a bug, and each planted bug is found.

docs/losslessness.md describes the long runs, which are started by hand.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from zlib import crc32

import pytest
from tests.checker.delivery_log import DeliveryLog
from tests.checker.message_id import MessageId, parse_id
from tests.checker.monitored_process import ROOT
from tests.checker.planted_bugs import PLANTED_BUGS
from tests.checker.sent_message import SentMessage
from tests.checker.verification import LossCauses, Verification

TIMEOUT_S = 100
SHORT_RUN = (
    *("--seed=1", "--clients=24", "--messages=1000", "--faults=100", "--rate=200"),
    *("--restarts=1", "--kills=1", "--clock-steps=2", "--expect-lossless-restarts"),
)
RUN_WITH_BUG = ("--seed=1", "--clients=6", "--messages=300", "--rate=150", "--restarts=0")
FAULTS = ("--faults=40",)
FLAGS_FOR_BUG = {
    "drop": ("--faults=0",),
    "duplicate": ("--faults=0",),
    "reorder": ("--faults=0",),
    "silent-gap": FAULTS,
    "lie": (*FAULTS, "--kills=1"),
    "false-alarm": FAULTS,
}
EXPECTED_VIOLATION = {
    "drop": "silent loss",
    "duplicate": "duplicate",
    "reorder": "order",
    "silent-gap": "silent loss",
    "lie": "crash not reported",
    "false-alarm": "false alarm",
}

CheckerProcess = subprocess.Popen[str]


def start(*flags: str) -> CheckerProcess:
    command = [sys.executable, "-m", "tests.checker", *flags]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def checkers() -> Iterator[dict[str, CheckerProcess]]:
    """All runs of this file at the same time, because each spends most of its time waiting."""
    running = {
        bug: start(*RUN_WITH_BUG, *FLAGS_FOR_BUG[bug], f"--plant={bug}") for bug in PLANTED_BUGS
    }
    running["none"] = start(*SHORT_RUN)
    yield running
    for checker in running.values():
        checker.kill()
        checker.communicate()


@pytest.mark.parametrize("bug", PLANTED_BUGS)
def test_planted_bug_is_found(checkers: dict[str, CheckerProcess], bug: str) -> None:
    output, _ = checkers[bug].communicate(timeout=TIMEOUT_S)
    assert checkers[bug].returncode == 1, output
    last_line = output.splitlines()[-1]
    assert last_line.startswith("FAIL: ")
    assert EXPECTED_VIOLATION[bug] in last_line


def test_no_violation_without_bug(checkers: dict[str, CheckerProcess]) -> None:
    output, _ = checkers["none"].communicate(timeout=TIMEOUT_S)
    assert checkers["none"].returncode == 0, output
    assert output.endswith("PASS: no violations\n")


# --- the verification itself -------------------------------------------------------------------

CRASH: MessageId = (15, 0)
IDS = ("10-0", "11-0", "20-0", "21-0")


def verify(
    write_log: Callable[[DeliveryLog], object], *, crashes: tuple[MessageId, ...] = ()
) -> list[str]:
    """Return the kinds of the violations in a client's log; the messages `IDS` were sent to it."""
    log = DeliveryLog("alice", "websocket", (1, 0))
    sent = []
    for number, text in enumerate(IDS):
        key = f"p:{number}"
        crc = crc32(key.encode())
        sent.append(SentMessage(key, ("alice",), None, False, crc, {1}, parse_id(text)))
    write_log(log)
    causes = LossCauses(crashes=crashes, restarts=(), evictions=False)
    verification = Verification([log], sent, {}, causes)
    violations = verification.violations + verification.results[0].violations
    assert verification.passed == (not violations)
    return [violation.kind for violation in violations]


def receive(log: DeliveryLog, *numbers: int) -> None:
    for number in numbers:
        log.add_message(IDS[number], f"p:{number}", None)


def resume(log: DeliveryLog, position: str, recovered: bool | None) -> None:
    log.add_open(position, recovered, resumed=recovered is not None)


def test_every_message_once_and_in_order() -> None:
    def write(log: DeliveryLog) -> None:
        resume(log, "1-0", None)
        receive(log, 0, 1)
        resume(log, "11-0", True)
        receive(log, 2, 3)

    assert verify(write) == []


def test_crash_reported_once() -> None:
    def write(log: DeliveryLog) -> None:
        receive(log, 0)
        resume(log, "16-0", False)
        receive(log, 2, 3)

    assert verify(write, crashes=(CRASH,)) == []
    assert verify(write) == ["false alarm"]


def test_crash_reported_twice() -> None:
    def write(log: DeliveryLog) -> None:
        receive(log, 0, 1)
        resume(log, "16-0", False)
        resume(log, "17-0", False)
        receive(log, 2, 3)

    assert verify(write, crashes=(CRASH,)) == ["false alarm"]


def test_crash_not_reported_although_nothing_was_lost() -> None:
    def write(log: DeliveryLog) -> None:
        receive(log, 0, 1)
        resume(log, "16-0", True)
        receive(log, 2, 3)

    assert verify(write, crashes=(CRASH,)) == ["crash not reported"]


def test_gap_that_covers_a_received_message() -> None:
    def write(log: DeliveryLog) -> None:
        receive(log, 0, 1)
        log.add_gap("10-0", "20-0")
        receive(log, 2, 3)

    assert verify(write) == ["gap too wide", "false alarm"]


@pytest.mark.parametrize(
    ("numbers", "kinds"),
    [
        ((0, 1, 3), ["silent loss"]),
        ((0, 1, 2), ["silent loss"]),
        ((0, 1, 2, 2, 3), ["duplicate"]),
        ((0, 2, 1, 3), ["order"]),
        ((0, 2, 3, 1), ["order"]),
    ],
)
def test_missing_repeated_or_misplaced_message(numbers: tuple[int, ...], kinds: list[str]) -> None:
    assert verify(lambda log: receive(log, *numbers)) == kinds


def test_changed_or_misdirected_message() -> None:
    def write(log: DeliveryLog) -> None:
        receive(log, 0)
        log.add_message(IDS[1], "p:1 and more", None)
        log.add_message(IDS[2], "p:2", "a group")
        log.add_message("20-5", "p:7", None)
        receive(log, 3)

    assert sorted(verify(write)) == ["corrupt", "corrupt", "wrong recipient"]
