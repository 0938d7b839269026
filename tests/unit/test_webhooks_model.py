"""headrace.webhooks.outbox against a plain model, in any order of events."""

from collections.abc import Callable

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.outbox_bench import Bench

from headrace import limits
from headrace.presence import Change
from headrace.webhooks.lanes import Notice, Turn
from headrace.webhooks.outbox import Outbox


class Model(RuleBasedStateMachine):
    """Whatever happens: each client's notices in order, none lost but by the rule, none stuck."""

    clients = st.sampled_from("abcdef")

    @initialize(count=st.sampled_from([3, 8, 1000]), jitter=st.floats(0, 1))
    def begin(self, count: int, jitter: float) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(limits, "NOTICES_MAX_COUNT", count)
        self.count = count
        self.bench = Bench(jitter)
        self.online = dict.fromkeys("abcdef", False)
        self.waiting: list[int | Turn] = []  # every entry, the oldest first
        self.client: dict[int | Turn, str] = {}
        self.under_way: dict[int, Notice] = {}
        self.told: dict[Turn, bool] = {}
        self.numbers = 0

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.patch.undo()

    def drain(self) -> None:
        """Take all that is left, and compare."""
        for turn in [one for one in self.waiting if isinstance(one, Turn)]:
            self.finish(turn)
        for notice in list(self.under_way.values()):
            self.bench.outbox.taken(notice)
            self.waiting.remove(notice.number)
        expected: dict[str, list[int]] = {}
        for one in self.waiting:
            assert isinstance(one, int)
            expected.setdefault(self.client[one], []).append(one)
        came: dict[str, list[int]] = {}
        while len(self.bench.outbox):
            self.bench.wait()
            tried = self.bench.next()
            assert tried is not None
            came.setdefault(tried.lane.client_id, []).append(tried.number)
            self.bench.outbox.taken(tried)
        assert came == expected
        assert self.bench.outbox.size_bytes == 0

    def victim(self) -> int | None:
        free = [n for n in self.waiting if isinstance(n, int) and n not in self.under_way]
        for number in free:
            if any(n > number for n in self.numbers_of(self.client[number])):
                return number
        return free[0] if free else None

    def numbers_of(self, client_id: str) -> list[int]:
        return [n for n in self.waiting if isinstance(n, int) and self.client[n] == client_id]

    @rule(client_id=clients)
    def put(self, client_id: str) -> None:
        self.online[client_id] = not self.online[client_id]
        self.numbers += 1
        self.waiting.append(self.numbers)
        self.client[self.numbers] = client_id
        while len([n for n in self.waiting if isinstance(n, int)]) > self.count:
            victim = self.victim()
            if victim is None:
                break
            self.waiting.remove(victim)
        self.bench.outbox.put(Change(client_id, self.online[client_id]))

    @rule(client_id=clients)
    def queue(self, client_id: str) -> None:
        box: list[Turn] = []
        early: list[bool] = []

        def decide(may: bool) -> None:
            if box:
                self.told[box[0]] = may
            else:
                early.append(may)

        turn = self.bench.outbox.queue(client_id, decide)
        box.append(turn)
        self.waiting.append(turn)
        self.client[turn] = client_id
        for may in early:
            self.told[turn] = may

    @precondition(lambda self: any(isinstance(one, Turn) for one in self.waiting))
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        turns = [one for one in self.waiting if isinstance(one, Turn)]
        self.finish(data.draw(st.sampled_from(turns)))

    def finish(self, turn: Turn) -> None:
        self.waiting.remove(turn)
        self.bench.outbox.done(turn)

    @rule()
    def next(self) -> None:
        notice = self.bench.next()
        if notice is not None:
            first = self.first_of(notice.lane.client_id)
            assert first == notice.number, "only a client's first entry goes"
            self.under_way[notice.number] = notice

    def first_of(self, client_id: str) -> int | Turn:
        return next(one for one in self.waiting if self.client[one] == client_id)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), taken=st.booleans())
    def outcome(self, data: st.DataObject, taken: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.under_way)))
        notice = self.under_way.pop(number)
        if taken:
            self.waiting.remove(number)
            self.bench.outbox.taken(notice)
            return
        client_id = notice.lane.client_id
        behind = [t for t in self.waiting if isinstance(t, Turn) and self.client[t] == client_id]
        self.bench.fail(notice)
        assert not any(self.told[turn] for turn in behind)
        for turn in behind:
            self.waiting.remove(turn)
            self.bench.outbox.done(turn)

    @rule(seconds=st.floats(0, 20))
    def pass_time(self, seconds: float) -> None:
        self.bench.now += seconds

    @rule(act=st.sampled_from([Outbox.succeeded, Outbox.wake]))
    def all_at_once(self, act: Callable[[Outbox], None]) -> None:
        act(self.bench.outbox)

    @invariant()
    def consistent(self) -> None:
        if not hasattr(self, "bench"):
            return
        assert len(self.bench.outbox) == len([n for n in self.waiting if isinstance(n, int)])
        for one in self.waiting:
            if isinstance(one, Turn):
                assert self.told.get(one, False) == (self.first_of(self.client[one]) is one)
        at = self.bench.outbox.next_at(self.bench.now)
        firsts = {
            self.first_of(client_id) for client_id in {self.client[one] for one in self.waiting}
        }
        can_go = [n for n in firsts if isinstance(n, int) and n not in self.under_way]
        if not can_go:
            assert at is None
        elif not self.under_way:
            assert at is not None


Model.TestCase.settings = hypothesis_settings(deadline=None, stateful_step_count=60)
test_any_order_of_events = Model.TestCase
