"""The checker, short: no promise broken under faults, and every planted bug found.

The long runs are made by hand: see docs/losslessness.md.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from zlib import crc32

import pytest
from tests.checker.ids import Id
from tests.checker.journal import Journal
from tests.checker.plants import PLANTS
from tests.checker.process import ROOT
from tests.checker.sending import Sent
from tests.checker.verdict import Ends, Verdict

TIMEOUT_S = 100
SHORT = (
    *("--seed=1", "--clients=24", "--messages=1000", "--faults=100", "--rate=200"),
    *("--restarts=1", "--kills=1", "--clock-steps=2", "--expect-lossless-restarts"),
)
PLANTED = ("--seed=1", "--clients=6", "--messages=300", "--rate=150", "--restarts=0")
FAULTS = ("--faults=40",)
NEEDS = {
    "drop": ("--faults=0",),
    "duplicate": ("--faults=0",),
    "reorder": ("--faults=0",),
    "silent-gap": FAULTS,
    "lie": (*FAULTS, "--kills=1"),
    "false-alarm": FAULTS,
}
FOUND = {
    "drop": "silent gap",
    "duplicate": "duplicate",
    "reorder": "order",
    "silent-gap": "silent gap",
    "lie": "crash not told",
    "false-alarm": "false alarm",
}

Checker = subprocess.Popen[str]


def start(*flags: str) -> Checker:
    command = [sys.executable, "-m", "tests.checker", *flags]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def checkers() -> Iterator[dict[str, Checker]]:
    """All runs of this file at once, because each mostly waits."""
    running = {plant: start(*PLANTED, *NEEDS[plant], f"--plant={plant}") for plant in PLANTS}
    running["none"] = start(*SHORT)
    yield running
    for checker in running.values():
        checker.kill()
        checker.communicate()


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_found(checkers: dict[str, Checker], plant: str) -> None:
    said, _ = checkers[plant].communicate(timeout=TIMEOUT_S)
    assert checkers[plant].returncode == 1, said
    last_line = said.splitlines()[-1]
    assert last_line.startswith("FAIL: ")
    assert FOUND[plant] in last_line


def test_nothing_is_lost_in_silence(checkers: dict[str, Checker]) -> None:
    said, _ = checkers["none"].communicate(timeout=TIMEOUT_S)
    assert checkers["none"].returncode == 0, said
    assert said.endswith("PASS: every promise was kept\n")


# --- the verdict itself ------------------------------------------------------------------------

CRASH: Id = (15, 0)
IDS = ("10-0", "11-0", "20-0", "21-0")


def judge(live: Callable[[Journal], object], *, crashes: tuple[Id, ...] = ()) -> list[str]:
    """Return the kinds of what is wrong with a client that lived so; `IDS` were sent to it."""
    journal = Journal("alice", "websocket", (1, 0))
    sent = []
    for number, text in enumerate(IDS):
        ms, seq = text.split("-")
        data = f"p:{number}".encode()
        sent.append(
            Sent(f"p:{number}", ("alice",), None, False, crc32(data), {1}, (int(ms), int(seq)))
        )
    live(journal)
    ends = Ends(crashes=crashes, restarts=(), evictions=False)
    verdict = Verdict([journal], sent, {}, ends)
    violations = verdict.violations + verdict.rows[0].violations
    assert verdict.holds == (not violations)
    return [violation.kind for violation in violations]


def receive(journal: Journal, *numbers: int) -> None:
    for number in numbers:
        journal.message(IDS[number], f"p:{number}", None)


def resume(journal: Journal, position: str, recovered: bool | None) -> None:
    journal.open(position, recovered, resumed=recovered is not None)


def test_everything_once_and_in_order_is_right() -> None:
    def live(journal: Journal) -> None:
        resume(journal, "1-0", None)
        receive(journal, 0, 1)
        resume(journal, "11-0", True)
        receive(journal, 2, 3)

    assert judge(live) == []


def test_a_crash_that_is_told_once_is_right() -> None:
    def live(journal: Journal) -> None:
        receive(journal, 0)
        resume(journal, "16-0", False)
        receive(journal, 2, 3)

    assert judge(live, crashes=(CRASH,)) == []
    assert judge(live) == ["false alarm"]


def test_a_crash_that_is_told_twice_is_wrong() -> None:
    def live(journal: Journal) -> None:
        receive(journal, 0, 1)
        resume(journal, "16-0", False)
        resume(journal, "17-0", False)
        receive(journal, 2, 3)

    assert judge(live, crashes=(CRASH,)) == ["false alarm"]


def test_a_crash_that_is_not_told_is_wrong_even_without_a_loss() -> None:
    def live(journal: Journal) -> None:
        receive(journal, 0, 1)
        resume(journal, "16-0", True)
        receive(journal, 2, 3)

    assert judge(live, crashes=(CRASH,)) == ["crash not told"]


def test_a_gap_must_not_hold_what_was_received() -> None:
    def live(journal: Journal) -> None:
        receive(journal, 0, 1)
        journal.gap("10-0", "20-0")
        receive(journal, 2, 3)

    assert judge(live) == ["wide gap", "false alarm"]


@pytest.mark.parametrize(
    ("numbers", "kinds"),
    [
        ((0, 1, 3), ["silent gap"]),
        ((0, 1, 2), ["silent gap"]),
        ((0, 1, 2, 2, 3), ["duplicate"]),
        ((0, 2, 1, 3), ["order"]),
        ((0, 2, 3, 1), ["order"]),
    ],
)
def test_what_is_missing_doubled_or_misplaced_is_wrong(
    numbers: tuple[int, ...], kinds: list[str]
) -> None:
    assert judge(lambda journal: receive(journal, *numbers)) == kinds


def test_what_was_changed_or_sent_to_others_is_wrong() -> None:
    def live(journal: Journal) -> None:
        receive(journal, 0)
        journal.message(IDS[1], "p:1 and more", None)
        journal.message(IDS[2], "p:2", "a group")
        journal.message("20-5", "p:7", None)
        receive(journal, 3)

    assert sorted(judge(live)) == ["corrupt", "corrupt", "stray"]
