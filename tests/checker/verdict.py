"""Compares what each client received with what was sent: every message of its audience exactly
once and in order, or a loss that was told and covers exactly what is missing.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.checker.ids import Id, id_text
from tests.checker.journal import Gap, Journal, Violation
from tests.checker.sending import Sent, is_end


@dataclass
class Row:
    """The verdict about one client."""

    journal: Journal
    expected: int = 0
    told: int = 0
    """Messages that it did not get, and was told so."""
    silent: int = 0
    """Messages that it did not get, and was not told."""
    violations: list[Violation] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Return how many violations of this kind there are."""
        return sum([violation.kind == kind for violation in self.violations])


@dataclass(frozen=True)
class Ends:
    """When the server's lives ended: ids between two lives each."""

    crashes: tuple[Id, ...]
    """After these, every client must be told once that something may be lost."""
    restarts: tuple[Id, ...]
    """After these, a client may be told so."""
    evictions: bool
    """Whether a client may be told so without either, where something of its own is missing."""


class Verdict:
    """`rows`, one for each client, and `violations` of the server and the publishers.

    `doubled` messages were accepted twice, because a crash came between send and answer.
    """

    def __init__(
        self,
        journals: Iterable[Journal],
        sent: Iterable[Sent],
        members: Mapping[str, frozenset[str]],
        ends: Ends,
    ) -> None:
        """`members` are the clients of each group."""
        self.violations: list[Violation] = []
        self._members = members
        self._ends = ends
        self._sent = {message.key: message for message in sent}
        journals = list(journals)
        known = self._known(journals)
        audiences = self._audiences(known, [journal.client_id for journal in journals])
        self.rows = [
            self._row(journal, known, audiences[journal.client_id]) for journal in journals
        ]

    @property
    def holds(self) -> bool:
        """Whether no promise was broken."""
        return not self.violations and not any(row.violations for row in self.rows)

    def _known(self, journals: list[Journal]) -> dict[Id, Sent]:
        """Return all messages that were accepted: the answered ones, and what somebody received.

        Nobody heard the answer of the latter, but they took their places in the order.
        """
        known: dict[Id, Sent] = {}
        latest: dict[str, Id] = {}
        for message in self._sent.values():
            if message.answered is None:
                continue
            publisher = message.key.partition(":")[0]
            if message.answered <= latest.get(publisher, (0, 0)):
                self._violate("order", f"{message.key} got an id before that of its predecessor")
            latest[publisher] = message.answered
            if message.answered in known:
                self._violate("order", f"{message.key} got the id of {known[message.answered].key}")
            known[message.answered] = message
        for journal in journals:
            for receipt in journal.received:
                message_sent = self._sent.get(receipt.key)
                if message_sent is not None:
                    known.setdefault(receipt.id, message_sent)
        copies = Counter([message.key for message in known.values()])
        self.doubled = sum([count > 1 for count in copies.values()])
        for key, count in copies.items():
            if count > len(self._sent[key].memories):
                self._violate("sent twice", f"{key} has {count} ids")
        return dict(sorted(known.items()))

    def _audiences(self, known: dict[Id, Sent], client_ids: list[str]) -> dict[str, list[Id]]:
        """Return for each client the ids of all that it was to receive, in order."""
        audiences: dict[str, list[Id]] = {client_id: [] for client_id in client_ids}
        for position, message in known.items():
            audience: Iterable[str] = message.to
            if message.everyone:
                audience = client_ids
            elif message.group is not None:
                audience = self._members.get(message.group, ())
            for client_id in audience:
                audiences[client_id].append(position)
        return audiences

    def _row(self, journal: Journal, known: dict[Id, Sent], audience: list[Id]) -> Row:
        expected = audience[bisect_right(audience, journal.began) :]
        if journal.received and is_end(journal.received[-1].key):
            expected = expected[: bisect_right(expected, journal.received[-1].id)]
        row = Row(journal, len(expected), violations=list(journal.violations))
        received = {receipt.id for receipt in journal.received}
        missing = [position for position in expected if position not in received]
        for position in missing:
            if any(gap.covers(position) for gap in journal.gaps):
                row.told += 1
            else:
                row.silent += 1
                text = f"{id_text(position)} ({known[position].key}) is missing, and nobody said so"
                row.violations.append(Violation("silent gap", text))
        self._check_content(row, known, received - set(expected))
        self._check_gaps(row, sorted(received), missing)
        return row

    def _check_content(self, row: Row, known: dict[Id, Sent], strays: set[Id]) -> None:
        for receipt in row.journal.received:
            message = known.get(receipt.id)
            if receipt.id in strays or message is None or message.key != receipt.key:
                text = f"{id_text(receipt.id)} ({receipt.key}) is not for this client"
                row.violations.append(Violation("stray", text))
            elif receipt.crc != message.crc:
                row.violations.append(Violation("corrupt", f"the data of {receipt.key} differs"))
            elif receipt.group != message.group and "sse" not in row.journal.transport:
                text = f"{receipt.key} came through group {receipt.group!r}, not {message.group!r}"
                row.violations.append(Violation("corrupt", text))

    def _check_gaps(self, row: Row, received: list[Id], missing: list[Id]) -> None:
        """Check that a loss was told where there was a reason, once, and no wider than it was."""
        ends, journal = self._ends, row.journal
        for gap in journal.gaps:
            inside = received[bisect_right(received, gap.after) : bisect_left(received, gap.end)]
            if inside and not (gap.told_by == "poll" and ends.evictions):
                text = f"{gap} of {gap.told_by} holds {id_text(inside[0])}, which was received"
                row.violations.append(Violation("wide gap", text))
            reasons = [_spans(gap, end) for end in ends.crashes + ends.restarts]
            covers = any(gap.covers(position) for position in missing)
            if not any(reasons) and not (ends.evictions and covers):
                text = f"{gap} was told by {gap.told_by} without a reason"
                row.violations.append(Violation("false alarm", text))
        for crash in ends.crashes:
            told = sum([_spans(gap, crash) for gap in journal.gaps])
            if told != 1:
                text = f"the crash at {id_text(crash)} was told {told} times"
                row.violations.append(Violation("crash not told", text))

    def _violate(self, kind: str, text: str) -> None:
        self.violations.append(Violation(kind, text))


def _spans(gap: Gap, end: Id) -> bool:
    """Tell whether the server's life ended within this gap."""
    return gap.told_by != "gap" and gap.after < end <= gap.end
