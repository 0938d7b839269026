"""hub/core.py: no message is lost without a report, whatever happens in whatever order.

A model follows every step. Each session must get every message for it exactly once and in order,
except the messages that a `gap` names, those before an `open` with `recovered: false`, and those
after a close with 4008; and a close with 4008 must have been due.
"""

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.helpers.delivery_model import ModelResumePoint, Tab
from tests.helpers.fakes import (
    HubBench,
    NaiveHistory,
    claims_of,
    messages_of,
)

from headrace import codes
from headrace.hub import history as history_module
from headrace.hub import session as session_module
from headrace.hub.history import EVERYONE, channel_key, group_key
from headrace.hub.ring import RingBounds
from headrace.hub.session import SessionState
from headrace.messages.entries import Entry, Join, Leave, Revoke
from headrace.messages.message import Encodable, Message
from headrace.messages.position import START, Position

CLIENTS = ["a", "b"]
GROUPS = ["g", "h"]
KEY_MAX_MESSAGES = 4
HISTORY_MAX_AGE_S = 60.0

entries = st.builds(
    lambda size, target: Entry(data="." * size, **target),
    st.sampled_from([0, 1, 1, 1, 2, 20]),
    st.one_of(
        st.lists(st.sampled_from(CLIENTS), min_size=1, max_size=4).map(
            lambda to: {"to": tuple(to)}
        ),
        st.sampled_from(GROUPS).map(lambda group: {"group": group}),
        st.just({"everyone": True}),
    ),
)
group_lists = st.lists(st.sampled_from(GROUPS), max_size=3).map(tuple)
# What a sink's owner does when something is delivered, one thing each time.
plans = st.lists(st.sampled_from(["pause", "detach", ""]) | entries, max_size=3)
bursts = st.lists(entries, max_size=6)


class DeliveryMachine(RuleBasedStateMachine):
    """Send, attach, detach, pause, resume, renew, overflow, expire, in any order and nested."""

    @initialize(
        slow_consumer=st.sampled_from(["close", "drop-oldest"]),
        bounds=st.builds(RingBounds, st.integers(1, 4), st.sampled_from([3, 30, 1000])),
        history_max_bytes=st.sampled_from([0, 5000, 1 << 20]),
        sessions_per_client=st.integers(1, 3),
        floors_max_keys=st.sampled_from([1, 3, 1000]),
    )
    def begin(
        self,
        slow_consumer: str,
        bounds: RingBounds,
        history_max_bytes: int,
        sessions_per_client: int,
        floors_max_keys: int,
    ) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(history_module, "KEY_MAX_MESSAGES", KEY_MAX_MESSAGES)
        self.patch.setattr(history_module, "FLOORS_MAX_KEYS", floors_max_keys)
        self.patch.setattr(session_module, "FLUSH_MAX_BYTES", 25)
        self.bench = HubBench(
            slow_consumer=slow_consumer,
            ring_max_messages=bounds.max_messages,
            ring_max_bytes=bounds.max_bytes,
            history_max_bytes=history_max_bytes,
            history_max_age_s=HISTORY_MAX_AGE_S,
            sessions_per_client=sessions_per_client,
        )
        self.core = self.bench.core
        start = self.core.history.floor
        self.history = NaiveHistory(start, history_max_bytes, HISTORY_MAX_AGE_S, KEY_MAX_MESSAGES)
        self.drop_oldest = slow_consumer == "drop-oldest"
        self.bounds = bounds
        self.sessions_per_client = sessions_per_client
        self.tabs: list[Tab] = []
        self.resume_points: dict[str, ModelResumePoint] = {}
        self.newest_pos: dict[str, Position] = {}
        self.token_pos: dict[str, Position] = {}
        self.seen: dict[str, Position] = {}
        self.overrides: dict[tuple[str, str], bool] = {}  # True: joined, False: left
        self.subscriptions = self.deliveries = self.slow_closed = self.dropped = 0

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.settle()
            self.patch.undo()

    # --- sending ---------------------------------------------------------------------------

    @rule(entry=entries)
    def send(self, entry: Entry) -> None:
        position = self.next_position()
        message = Message(position, entry.data, entry.group)
        recipients, keys = self.recipients(entry)
        self.history.append(message, keys)
        dropped_before = sum(len(tab.dropped) for tab in recipients)
        slow = [tab for tab in recipients if not tab.push(message, drop_oldest=self.drop_oldest)]
        self.dropped += sum(len(tab.dropped) for tab in recipients) - dropped_before
        self.slow_closed += len(slow)
        for tab in slow:
            self.removed(tab)
        receipt = self.bench.append(entry)
        assert receipt == (position, len(recipients) - len(slow))
        assert all(tab.sink.close_codes == [codes.TOO_SLOW] for tab in slow)

    @rule(burst=bursts)
    def send_several(self, burst: list[Entry]) -> None:
        for entry in burst:
            self.send(entry)

    def recipients(self, entry: Entry) -> tuple[list[Tab], tuple[str, ...]]:
        """Return the recipients in the core's order, which decides the order of the closes."""
        if entry.group is not None:
            key = group_key(entry.group)
            return sorted(self.having(key), key=lambda tab: tab.orders[key]), (key,)
        if entry.everyone:
            return list(self.tabs), (EVERYONE,)
        keys = tuple(dict.fromkeys(map(channel_key, entry.to)))
        return [tab for key in keys for tab in self.having(key)], keys

    def having(self, key: str) -> list[Tab]:
        return [tab for tab in self.tabs if key in tab.keys]

    # --- attaching -------------------------------------------------------------------------

    @rule(
        client_id=st.sampled_from(CLIENTS),
        groups=group_lists,
        resume=st.sampled_from(["no", "no", "seen", "seen", "some", "old", "beyond"]),
        number=st.integers(0, 1000),
        token=st.sampled_from(["without pos", "the old one", "a new one"]),
        meanwhile=bursts,
        plan=plans,
    )
    def attach(
        self,
        client_id: str,
        groups: tuple[str, ...],
        resume: str,
        number: int,
        token: str,
        meanwhile: list[Entry],
        plan: list[str | Entry],
    ) -> None:
        if token == "a new one":
            self.token_pos[client_id] = self.history.latest
        self.send_several(meanwhile)
        last_id = self.last_id(client_id, resume, number)
        pos = None if token == "without pos" else self.token_pos.get(client_id)
        member_of = self.groups_of(client_id, groups)
        tab = Tab(client_id, member_of, groups, self.next_order(), self.bounds)
        start, recovered = self.starting_point(tab, last_id, pos or START)
        tab.replay.extend(self.history.messages_after(tab.keys, start))
        tab.opens = (str(start if tab.replay else self.history.latest), recovered)
        tab.plan = list(plan)
        tab.sink.on_deliver = lambda what: self.received(tab, what)
        tab.sink.on_close = lambda code: self.closed(tab, code)
        self.tabs.append(tab)
        tab.session, _ = self.bench.attach(
            client_id, sink=tab.sink, last_id=last_id, groups=groups, pos=pos
        )
        assert tab.opened
        assert len(self.having(channel_key(client_id))) <= self.sessions_per_client

    def last_id(self, client_id: str, resume: str, number: int) -> Position | None:
        latest = self.history.latest
        if resume == "seen":
            return self.seen.get(client_id)
        if resume == "some" and self.history.everything:
            return self.history.everything[number % len(self.history.everything)][0].position
        return {"old": Position(1, 0), "beyond": Position(latest.ms + 10**6, 0)}.get(resume)

    def starting_point(
        self, tab: Tab, last_id: Position | None, pos: Position
    ) -> tuple[Position, bool | None]:
        point = self.resume_points.pop(tab.client_id, None)
        if not self.having(channel_key(tab.client_id)):
            self.newest_pos[tab.client_id] = point.newest_pos if point else START
        newest_pos = self.newest_pos[tab.client_id]
        self.newest_pos[tab.client_id] = max(newest_pos, pos)
        history = self.history
        if last_id is not None:
            start = last_id
        elif point:
            start = point.position
        elif pos > newest_pos:
            start = pos
        else:
            return history.latest, None
        if start > history.latest:
            return history.latest, False
        if start < history.floor_of(tab.keys):
            return history.floor_of(tab.keys), False
        return start, None if last_id is None else True

    @rule(number=st.integers(0, 100), groups=group_lists)
    @precondition(lambda self: self.tabs)
    def renew(self, number: int, groups: tuple[str, ...]) -> None:
        tab = self.tab(number)
        assert tab.session
        tab.claimed = groups
        tab.subscribe(self.groups_of(tab.client_id, groups), self.next_order())
        tab.opens = (str(tab.last if tab.owed else self.history.latest), None)
        self.core.renew(tab.session, claims_of(tab.client_id, groups=groups))

    @rule(client_id=st.sampled_from(CLIENTS), group=st.sampled_from(GROUPS), joined=st.booleans())
    def change_membership(self, client_id: str, group: str, joined: bool) -> None:
        self.overrides[client_id, group] = joined
        for tab in self.having(channel_key(client_id)):
            tab.subscribe(self.groups_of(client_id, tab.claimed), self.next_order())
        at = self.bench.clock.unix_s
        change = Join(client_id, group, at) if joined else Leave(client_id, group, at)
        self.history.latest = position = self.next_position()
        assert self.bench.append(change) == (position, 0)

    def groups_of(self, client_id: str, claimed: tuple[str, ...]) -> tuple[str, ...]:
        """Return the client's groups: the application overrides the token."""
        return tuple(g for g in GROUPS if self.overrides.get((client_id, g), g in claimed))

    @rule(client_id=st.sampled_from(CLIENTS))
    def revoke(self, client_id: str) -> None:
        at = self.bench.clock.unix_s
        before = self.having(channel_key(client_id))
        self.history.latest = position = self.next_position()
        assert self.bench.append(Revoke(client_id, at)) == (position, 0)
        assert all(tab.sink.closes for tab in before)
        assert not self.having(channel_key(client_id))

    def next_position(self) -> Position:
        """Return the position that the backplane chooses next, whatever the clock says."""
        ms, latest = int(self.bench.clock.unix_s * 1000), self.history.latest
        return Position(ms, 0) if ms > latest.ms else Position(latest.ms, latest.seq + 1)

    def tab(self, number: int) -> Tab:
        return self.tabs[number % len(self.tabs)]

    def next_order(self) -> int:
        self.subscriptions += 1
        return self.subscriptions

    # --- the client and its sink -----------------------------------------------------------

    def received(self, tab: Tab, what: Encodable) -> None:
        assert tab in self.tabs
        tab.receive(what)
        self.deliveries += len(messages_of(what))
        action = tab.plan.pop() if tab.plan else ""
        if isinstance(action, Entry):
            self.send(action)
        elif tab.session is None:
            return
        elif action == "pause":
            self.pause_tab(tab)
        elif action == "detach":
            self.detach_tab(tab)

    def closed(self, tab: Tab, code: int) -> None:
        if code == codes.REPLACED:
            mine = self.having(channel_key(tab.client_id))
            assert tab is mine[0]
            assert len(mine) > self.sessions_per_client
        if code == codes.TOO_SLOW:
            assert tab not in self.tabs
        else:
            self.removed(tab)
        action = tab.plan.pop() if tab.plan else ""
        if isinstance(action, Entry):
            self.send(action)

    def removed(self, tab: Tab) -> None:
        self.tabs.remove(tab)
        self.seen[tab.client_id] = tab.last
        if not self.having(channel_key(tab.client_id)):
            self.resume_points[tab.client_id] = ModelResumePoint(
                tab.last if tab.owed else self.history.latest,
                self.newest_pos[tab.client_id],
                self.bench.clock.monotonic_s + HISTORY_MAX_AGE_S,
            )

    @rule(number=st.integers(0, 100), plan=plans)
    @precondition(lambda self: self.tabs)
    def plan_actions(self, number: int, plan: list[str | Entry]) -> None:
        self.tab(number).plan = list(plan)

    @rule(number=st.integers(0, 100))
    @precondition(lambda self: self.tabs)
    def pause(self, number: int) -> None:
        self.pause_tab(self.tab(number))

    def pause_tab(self, tab: Tab) -> None:
        assert tab.session
        tab.session.pause()
        tab.paused = True

    @rule(number=st.integers(0, 100))
    @precondition(lambda self: self.tabs)
    def resume(self, number: int) -> None:
        self.resume_tab(self.tab(number))

    def resume_tab(self, tab: Tab) -> None:
        assert tab.session
        tab.paused = False
        self.core.resume(tab.session)

    @rule(number=st.integers(0, 100), burst=bursts)
    @precondition(lambda self: self.tabs)
    def be_slow_for_a_while(self, number: int, burst: list[Entry]) -> None:
        tab = self.tab(number)
        self.pause_tab(tab)
        self.send_several(burst)
        if tab in self.tabs:
            self.resume_tab(tab)

    @rule(number=st.integers(0, 100))
    @precondition(lambda self: self.tabs)
    def detach(self, number: int) -> None:
        self.detach_tab(self.tab(number))

    def detach_tab(self, tab: Tab) -> None:
        assert tab.session
        self.removed(tab)
        self.core.detach(tab.session)
        self.core.detach(tab.session)

    @rule(number=st.integers(0, 100))
    @precondition(lambda self: self.tabs)
    def close(self, number: int) -> None:
        session = self.tab(number).session
        assert session
        self.core.close(session, codes.REVOKED_TOKEN)

    # --- time ------------------------------------------------------------------------------

    @rule()
    def tick(self) -> None:
        self.bench.tick()

    @rule()
    def settle(self) -> None:
        """Run all ticks: then every session that is not paused has all its messages."""
        while self.bench.scheduled:
            self.bench.tick()
        assert all(tab.owed == 0 for tab in self.tabs if not tab.paused)
        assert not any(tab.dropped for tab in self.tabs if not tab.paused)

    @rule(seconds=st.floats(0, 70))
    def let_time_pass(self, seconds: float) -> None:
        self.bench.clock.advance(seconds)
        self.core.expire()
        now = self.bench.clock.monotonic_s
        self.history.expire(int(self.bench.clock.unix_s * 1000), now)
        now = self.bench.clock.monotonic_s
        self.resume_points = {
            name: point for name, point in self.resume_points.items() if point.forget_at > now
        }

    @rule(seconds=st.floats(0, 70))
    def set_clock_back(self, seconds: float) -> None:
        self.bench.clock.unix_s -= seconds

    # --- invariants ------------------------------------------------------------------------

    @invariant()
    def the_core_and_the_model_agree(self) -> None:
        core = self.core
        assert list(core.sessions) == [tab.session for tab in self.tabs]
        clients = dict.fromkeys(tab.client_id for tab in self.tabs)
        assert {
            name: channel.sessions for name, channel in core.subscriptions.channels.items()
        } == {name: [tab.session for tab in self.having(channel_key(name))] for name in clients}
        assert {name: set(members) for name, members in core.subscriptions.groups.items()} == {
            group: {tab.session for tab in members}
            for group in GROUPS
            if (members := self.having(group_key(group)))
        }
        for tab in self.tabs:
            assert tab.session
            assert (tab.session.backlog, tab.session.position) == (tab.owed, tab.last)
        assert (core.history.floor, core.history.latest) == (
            self.history.floor,
            self.history.latest,
        )
        assert core.history.size_bytes == self.history.size_bytes

    @invariant()
    def a_flush_is_scheduled_for_every_session_that_can_be_delivered_to(self) -> None:
        assert len(self.bench.scheduled) <= 1
        for tab in self.tabs:
            assert tab.session
            assert (tab.session.state is SessionState.PAUSED) == tab.paused
            if tab.owed and not tab.paused:
                assert tab.session.state is SessionState.QUEUED
                assert self.bench.scheduled

    @invariant()
    def the_counters_are_exact(self) -> None:
        counters = self.core.counters
        assert counters.messages == len(self.history.everything)
        assert counters.deliveries == self.deliveries
        assert (counters.slow_closed, counters.dropped) == (self.slow_closed, self.dropped)


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = hypothesis_settings(max_examples=200, stateful_step_count=50, deadline=None)
