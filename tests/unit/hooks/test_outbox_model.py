"""Outbox against a simple model, with operations in any order."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.helpers.outbox_bench import OutboxBench

from headrace.hooks import pending_notices
from headrace.hooks.client_queue import PresenceNotice, QueuedCall
from headrace.hooks.outbox import OUTAGE_CLIENTS, Outbox
from headrace.hub.presence import PresenceChange

Entry = int | QueuedCall
"""A notice, as its number, or an update-message."""


class Model(RuleBasedStateMachine):
    """The notices of a client stay in order, and none is stuck.

    None is lost, except over the limit of their number and after the last attempt. Only a missing
    response delays other clients.
    """

    clients = st.sampled_from("abcdef")

    @initialize(
        limit=st.sampled_from([3, 8, 1000]),
        jitter=st.floats(0, 1),
        max_attempts=st.integers(1, 4),
    )
    def begin(self, limit: int, jitter: float, max_attempts: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(pending_notices, "NOTICES_MAX_COUNT", limit)
        self.limit = limit
        self.bench = OutboxBench(jitter, max_attempts)
        self.max_attempts = max_attempts
        self.online = dict.fromkeys("abcdef", False)
        self.pending: list[Entry] = []  # of all clients, the oldest first
        self.client: dict[Entry, str] = {}
        self.in_flight: dict[int, PresenceNotice] = {}
        self.resolved: dict[QueuedCall, bool] = {}
        self.last_number = 0
        self.rejections: Counter[int] = Counter()
        self.overflowed = self.gave_up = 0
        self.failed: set[str] = set()  # clients whose last attempt has failed
        self.without_response: set[str] = set()  # clients, since the last response to anyone
        self.outage = False

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.patch.undo()

    # --- the model -----------------------------------------------------------------------------

    def calls(self) -> list[QueuedCall]:
        return [entry for entry in self.pending if isinstance(entry, QueuedCall)]

    def numbers(self) -> list[int]:
        return [entry for entry in self.pending if isinstance(entry, int)]

    def first_of(self, client_id: str) -> Entry:
        return next(entry for entry in self.pending if self.client[entry] == client_id)

    def next_eviction(self) -> int | None:
        candidates = [number for number in self.numbers() if number not in self.in_flight]
        for number in candidates:
            client_id = self.client[number]
            if any(n > number and self.client[n] == client_id for n in self.numbers()):
                return number
        return candidates[0] if candidates else None

    def forget_clients_without_entries(self) -> None:
        clients = {self.client[entry] for entry in self.pending}
        self.failed &= clients
        self.without_response &= clients

    def responded(self) -> None:
        self.without_response.clear()
        self.outage = False

    def drain(self) -> None:
        """Deliver everything, and compare it with the model."""
        for call in self.calls():
            self.finish(call)
        for notice in list(self.in_flight.values()):
            self.bench.outbox.delivered(notice)
            self.pending.remove(notice.number)
        expected: dict[str, list[int]] = {}
        for number in self.numbers():
            expected.setdefault(self.client[number], []).append(number)
        delivered: dict[str, list[int]] = {}
        while len(self.bench.outbox):
            self.bench.advance()
            notice = self.bench.expect_any()
            delivered.setdefault(notice.queue.client_id, []).append(notice.number)
            self.bench.outbox.delivered(notice)
        assert delivered == expected
        assert self.bench.outbox.size_bytes == 0

    # --- operations ----------------------------------------------------------------------------

    @rule(client_id=clients)
    def enqueue(self, client_id: str) -> None:
        self.online[client_id] = not self.online[client_id]
        self.last_number += 1
        self.pending.append(self.last_number)
        self.client[self.last_number] = client_id
        while len(self.numbers()) > self.limit:
            evicted = self.next_eviction()
            if evicted is None:
                break
            self.pending.remove(evicted)
            self.overflowed += 1
        self.bench.outbox.enqueue(PresenceChange(client_id, self.online[client_id]))

    @rule(client_id=clients)
    def enqueue_call(self, client_id: str) -> None:
        queued: list[QueuedCall] = []
        resolved_at_once: list[bool] = []

        def resolve(allowed: bool) -> None:
            if queued:
                self.resolved[queued[0]] = allowed
            else:
                resolved_at_once.append(allowed)

        call = self.bench.outbox.enqueue_call(client_id, resolve)
        queued.append(call)
        self.pending.append(call)
        self.client[call] = client_id
        for allowed in resolved_at_once:
            self.resolved[call] = allowed

    @precondition(lambda self: self.calls())
    @rule(data=st.data())
    def finish_call(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(self.calls())))

    def finish(self, call: QueuedCall) -> None:
        self.pending.remove(call)
        self.bench.outbox.finish_call(call)

    @rule()
    def next_notice(self) -> None:
        notice = self.bench.next_notice()
        if notice is not None:
            first = self.first_of(notice.queue.client_id)
            assert first == notice.number, "only the first entry of a client may be in flight"
            self.failed.discard(notice.queue.client_id)
            self.in_flight[notice.number] = notice

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), outcome=st.sampled_from(["delivered", "rejected", "unreachable"]))
    def end_attempt(self, data: st.DataObject, outcome: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.in_flight)))
        notice = self.in_flight.pop(number)
        client_id = notice.queue.client_id
        if outcome == "delivered":
            self.pending.remove(number)
            self.responded()
            self.bench.outbox.delivered(notice)
            return
        if outcome == "rejected":
            self.responded()
            self.rejections[number] += 1
            if self.rejections[number] == self.max_attempts:
                self.pending.remove(number)
                self.gave_up += 1
                assert self.bench.reject(notice)
                return
        else:
            self.without_response.add(client_id)
            self.outage = self.outage or len(self.without_response) >= OUTAGE_CLIENTS
        self.failed.add(client_id)
        calls = [call for call in self.calls() if self.client[call] == client_id]
        if outcome == "rejected":
            assert not self.bench.reject(notice)
        else:
            self.bench.unreachable(notice)
        assert not any(self.resolved[call] for call in calls)
        for call in calls:
            self.finish(call)

    @rule(seconds=st.floats(0, 20))
    def pass_time(self, seconds: float) -> None:
        self.bench.now += seconds

    @rule(operation=st.sampled_from([Outbox.application_responded, Outbox.retry_all]))
    def retry(self, operation: Callable[[Outbox], None]) -> None:
        self.responded()
        operation(self.bench.outbox)

    @invariant()
    def consistent(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.forget_clients_without_entries()
        assert len(self.bench.outbox) == len(self.numbers())
        assert (self.bench.overflowed, self.bench.gave_up) == (self.overflowed, self.gave_up)
        assert self.bench.outbox.outage == self.outage
        for call in self.calls():
            assert self.resolved.get(call, False) == (self.first_of(self.client[call]) is call)
        at = self.bench.outbox.next_attempt_at(self.bench.now)
        firsts = {self.first_of(self.client[entry]) for entry in self.pending}
        sendable = [n for n in firsts if isinstance(n, int) and n not in self.in_flight]
        if not sendable:
            assert at is None
        elif not self.in_flight:
            assert at is not None
        if not self.outage and any(self.client[number] not in self.failed for number in sendable):
            assert at == self.bench.now, "a failure delays its own client only"


Model.TestCase.settings = hypothesis_settings(deadline=None, stateful_step_count=60)
test_any_order_of_operations = Model.TestCase
