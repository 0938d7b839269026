"""Verification of the delivery logs against the messages that were sent.

Every client must have received every message for it exactly once and in order, or a report of a gap
that covers exactly what is missing.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.checker.delivery_log import DeliveryLog, ReportedGap, Violation
from tests.checker.message_generator import is_final
from tests.checker.message_id import MessageId, format_id
from tests.checker.sent_message import SentMessage


@dataclass
class ClientResult:
    """The result for one client."""

    log: DeliveryLog
    expected: int = 0
    reported_losses: int = 0
    """Missing messages whose loss was reported to the client."""
    violations: list[Violation] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Return the number of violations of this kind."""
        return sum([violation.kind == kind for violation in self.violations])


@dataclass(frozen=True)
class LossCauses:
    """The events after which the server may or must report a loss."""

    crashes: tuple[MessageId, ...]
    """IDs between two processes. Each client must receive exactly one report of each crash."""
    restarts: tuple[MessageId, ...]
    """IDs between two processes. A client may receive a report."""
    evictions: bool
    """True if a loss may be reported at any time, provided that a message is missing."""


class Verification:
    """The result of a run: `results` per client, and `violations` that concern no single client.

    `accepted_twice` is the number of messages that were accepted twice because a crash prevented
    the first response.
    """

    def __init__(
        self,
        logs: Iterable[DeliveryLog],
        sent: Iterable[SentMessage],
        members: Mapping[str, frozenset[str]],
        causes: LossCauses,
    ) -> None:
        """`members` maps each group to its clients."""
        self.violations: list[Violation] = []
        self._members = members
        self._causes = causes
        self._sent = {message.key: message for message in sent}
        logs = list(logs)
        accepted = self._find_accepted(logs)
        expected = self._expected_ids(accepted, [log.client_id for log in logs])
        self.results = [self._verify_client(log, accepted, expected[log.client_id]) for log in logs]

    @property
    def passed(self) -> bool:
        """True if there is no violation."""
        return not self.violations and not any(result.violations for result in self.results)

    def _find_accepted(self, logs: list[DeliveryLog]) -> dict[MessageId, SentMessage]:
        """Return all accepted messages by ID, in order.

        They are those with a response, and those that a client received. The response to the latter
        was lost, but they have a place in the order.
        """
        accepted: dict[MessageId, SentMessage] = {}
        latest: dict[str, MessageId] = {}
        for message in self._sent.values():
            if message.accepted_id is None:
                continue
            publisher = message.key.partition(":")[0]
            if message.accepted_id <= latest.get(publisher, (0, 0)):
                self._add_violation("order", f"{message.key} has a lower ID than its predecessor")
            latest[publisher] = message.accepted_id
            if message.accepted_id in accepted:
                other = accepted[message.accepted_id].key
                self._add_violation("order", f"{message.key} has the same ID as {other}")
            accepted[message.accepted_id] = message
        for log in logs:
            for delivery in log.deliveries:
                message_sent = self._sent.get(delivery.key)
                if message_sent is not None:
                    accepted.setdefault(delivery.id, message_sent)
        copies = Counter([message.key for message in accepted.values()])
        self.accepted_twice = sum([count > 1 for count in copies.values()])
        for key, count in copies.items():
            if count > len(self._sent[key].epochs):
                self._add_violation("accepted twice", f"{key} has {count} IDs")
        return dict(sorted(accepted.items()))

    def _expected_ids(
        self, accepted: dict[MessageId, SentMessage], client_ids: list[str]
    ) -> dict[str, list[MessageId]]:
        """Return the IDs of the messages for each client, in order."""
        expected: dict[str, list[MessageId]] = {client_id: [] for client_id in client_ids}
        for message_id, message in accepted.items():
            recipients: Iterable[str] = message.to
            if message.everyone:
                recipients = client_ids
            elif message.group is not None:
                recipients = self._members.get(message.group, ())
            for client_id in recipients:
                expected[client_id].append(message_id)
        return expected

    def _verify_client(
        self,
        log: DeliveryLog,
        accepted: dict[MessageId, SentMessage],
        ids: list[MessageId],
    ) -> ClientResult:
        expected = ids[bisect_right(ids, log.initial_position) :]
        if log.deliveries and is_final(log.deliveries[-1].key):
            expected = expected[: bisect_right(expected, log.deliveries[-1].id)]
        result = ClientResult(log, len(expected), violations=list(log.violations))
        received = {delivery.id for delivery in log.deliveries}
        missing = [message_id for message_id in expected if message_id not in received]
        for message_id in missing:
            if any(gap.covers(message_id) for gap in log.gaps):
                result.reported_losses += 1
            else:
                key = accepted[message_id].key
                text = f"{format_id(message_id)} ({key}) is missing, and no gap was reported"
                result.violations.append(Violation("silent loss", text))
        self._check_content(result, accepted, received - set(expected))
        self._check_gaps(result, sorted(received), missing)
        return result

    def _check_content(
        self,
        result: ClientResult,
        accepted: dict[MessageId, SentMessage],
        unexpected: set[MessageId],
    ) -> None:
        for delivery in result.log.deliveries:
            message = accepted.get(delivery.id)
            if delivery.id in unexpected or message is None or message.key != delivery.key:
                text = f"{format_id(delivery.id)} ({delivery.key}) is not for this client"
                result.violations.append(Violation("wrong recipient", text))
            elif delivery.crc != message.crc:
                text = f"the data of {delivery.key} differs"
                result.violations.append(Violation("corrupt", text))
            elif delivery.group != message.group and "sse" not in result.log.transport:
                text = f"{delivery.key} has the group {delivery.group!r}, not {message.group!r}"
                result.violations.append(Violation("corrupt", text))

    def _check_gaps(
        self, result: ClientResult, received: list[MessageId], missing: list[MessageId]
    ) -> None:
        """Check that each gap has a cause and no received message, and each crash one gap."""
        causes, log = self._causes, result.log
        for gap in log.gaps:
            inside = received[bisect_right(received, gap.after) : bisect_left(received, gap.end)]
            if inside and not (gap.reported_by == "poll" and causes.evictions):
                text = f"the {gap.reported_by} gap {gap} covers {format_id(inside[0])}"
                result.violations.append(Violation("gap too wide", f"{text}, which was received"))
            has_cause = any(_covers_shutdown(gap, at) for at in causes.crashes + causes.restarts)
            covers_missing = any(gap.covers(message_id) for message_id in missing)
            if not has_cause and not (causes.evictions and covers_missing):
                text = f"the {gap.reported_by} gap {gap} has no cause"
                result.violations.append(Violation("false alarm", text))
        for crash in causes.crashes:
            reports = sum([_covers_shutdown(gap, crash) for gap in log.gaps])
            if reports != 1:
                text = f"the crash at {format_id(crash)} was reported {reports} times"
                result.violations.append(Violation("crash not reported", text))

    def _add_violation(self, kind: str, text: str) -> None:
        self.violations.append(Violation(kind, text))


def _covers_shutdown(gap: ReportedGap, shutdown: MessageId) -> bool:
    """Return True if the server's process ended within this gap."""
    return gap.reported_by != "gap" and gap.after < shutdown <= gap.end
