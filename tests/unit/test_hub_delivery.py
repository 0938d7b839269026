"""headrace.hub, whatever happens in whatever order: nobody misses anything without being told.

A model of the whole follows every step. Each session must get every message of its audience
exactly once and in order, except what a gap names exactly, or what lies before an `open` that said
`recovered: false`, or behind a close with 4008; and a close with 4008 must have been due.
"""

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.delivery_model import Left, Tab
from tests.unit.fakes import (
    HubBench,
    NaiveHistory,
    claims_of,
    messages_of,
)

from headrace import codes, limits
from headrace import session as session_module
from headrace.entries import Entry, Join, Leave, Revoke
from headrace.history import EVERYONE, channel_key, group_key
from headrace.message import Encodable, Message
from headrace.position import START, Position, PositionCounter
from headrace.ring import RingBounds
from headrace.session import State

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
    """Publish, attach, detach, pause, resume, renew, overflow, expire, in any order and nested."""

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
        self.patch.setattr(limits, "HISTORY_KEY_MAX_MESSAGES", KEY_MAX_MESSAGES)
        self.patch.setattr(limits, "HISTORY_FLOORS_MAX_KEYS", floors_max_keys)
        self.patch.setattr(session_module, "_BATCH_BYTES", 25)
        self.bench = HubBench(
            slow_consumer=slow_consumer,
            ring_max_messages=bounds.max_messages,
            ring_max_bytes=bounds.max_bytes,
            history_max_bytes=history_max_bytes,
            history_max_age_s=HISTORY_MAX_AGE_S,
            sessions_per_client=sessions_per_client,
        )
        self.hub = self.bench.hub
        start = self.hub.history.floor
        self.history = NaiveHistory(start, history_max_bytes, HISTORY_MAX_AGE_S, KEY_MAX_MESSAGES)
        self.positions = PositionCounter(start)
        self.drop_oldest = slow_consumer == "drop-oldest"
        self.bounds = bounds
        self.sessions_per_client = sessions_per_client
        self.tabs: list[Tab] = []
        self.left: dict[str, Left] = {}
        self.newest_pos: dict[str, Position] = {}
        self.token_pos: dict[str, Position] = {}
        self.seen: dict[str, Position] = {}
        self.words: dict[tuple[str, str], bool] = {}  # who was put into a group, or taken out
        self.subscriptions = self.deliveries = self.slow_closed = self.dropped = 0

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.settle()
            self.patch.undo()

    # --- sending ---------------------------------------------------------------------------

    @rule(entry=entries)
    def publish(self, entry: Entry) -> None:
        position = self.positions.next(int(self.bench.clock.unix_s * 1000))
        message = Message(position, entry.data, entry.group)
        audience, keys = self.audience(entry)
        self.history.append(message, keys)
        dropped_before = sum(len(tab.dropped) for tab in audience)
        slow = [tab for tab in audience if not tab.push(message, drop_oldest=self.drop_oldest)]
        self.dropped += sum(len(tab.dropped) for tab in audience) - dropped_before
        self.slow_closed += len(slow)
        for tab in slow:
            self.gone(tab)
        receipt = self.bench.publish(entry)
        assert receipt == (position, len(audience) - len(slow))
        assert all(tab.sink.close_codes == [codes.TOO_SLOW] for tab in slow)

    @rule(burst=bursts)
    def publish_several(self, burst: list[Entry]) -> None:
        for entry in burst:
            self.publish(entry)

    def audience(self, entry: Entry) -> tuple[list[Tab], tuple[str, ...]]:
        """Those it is for, in the hub's order (which says who of a client's tabs goes last)."""
        if entry.group is not None:
            key = group_key(entry.group)
            return sorted(self.having(key), key=lambda tab: tab.orders[key]), (key,)
        if entry.everyone:
            return list(self.tabs), (EVERYONE,)
        keys = tuple(dict.fromkeys(map(channel_key, entry.to)))
        return [tab for key in keys for tab in self.having(key)], keys

    def having(self, key: str) -> list[Tab]:
        return [tab for tab in self.tabs if key in tab.keys]

    # --- coming ----------------------------------------------------------------------------

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
        self.publish_several(meanwhile)
        last_id = self.last_id(client_id, resume, number)
        pos = None if token == "without pos" else self.token_pos.get(client_id)
        member_of = self.groups_of(client_id, groups)
        tab = Tab(client_id, member_of, groups, self.next_order(), self.bounds)
        start, recovered = self.starting_point(tab, last_id, pos or START)
        tab.replay.extend(self.history.since(tab.keys, start))
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
        left = self.left.pop(tab.client_id, None)
        if not self.having(channel_key(tab.client_id)):
            self.newest_pos[tab.client_id] = left.newest_pos if left else START
        newest_pos = self.newest_pos[tab.client_id]
        self.newest_pos[tab.client_id] = max(newest_pos, pos)
        history = self.history
        if last_id is not None:
            start = last_id
        elif left:
            start = left.position
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
        self.hub.renew(tab.session, claims_of(tab.client_id, groups=groups))

    @rule(client_id=st.sampled_from(CLIENTS), group=st.sampled_from(GROUPS), joined=st.booleans())
    def change_membership(self, client_id: str, group: str, joined: bool) -> None:
        self.words[client_id, group] = joined
        for tab in self.having(channel_key(client_id)):
            tab.subscribe(self.groups_of(client_id, tab.claimed), self.next_order())
        at = self.bench.clock.unix_s
        word = Join(client_id, group, at) if joined else Leave(client_id, group, at)
        position = self.positions.next(int(at * 1000))
        assert self.bench.publish(word) == (position, 0)

    def groups_of(self, client_id: str, claimed: tuple[str, ...]) -> tuple[str, ...]:
        """Return the client's groups: the application's word stands above the token's."""
        return tuple(g for g in GROUPS if self.words.get((client_id, g), g in claimed))

    @rule(client_id=st.sampled_from(CLIENTS))
    def revoke(self, client_id: str) -> None:
        at = self.bench.clock.unix_s
        before = self.having(channel_key(client_id))
        position = self.positions.next(int(at * 1000))
        assert self.bench.publish(Revoke(client_id, at)) == (position, 0)
        assert all(tab.sink.closes for tab in before)
        assert not self.having(channel_key(client_id))

    def tab(self, number: int) -> Tab:
        return self.tabs[number % len(self.tabs)]

    def next_order(self) -> int:
        self.subscriptions += 1
        return self.subscriptions

    # --- what a client and its sink do -----------------------------------------------------

    def received(self, tab: Tab, what: Encodable) -> None:
        assert tab in self.tabs
        tab.receive(what)
        self.deliveries += len(messages_of(what))
        action = tab.plan.pop() if tab.plan else ""
        if isinstance(action, Entry):
            self.publish(action)
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
            self.gone(tab)
        action = tab.plan.pop() if tab.plan else ""
        if isinstance(action, Entry):
            self.publish(action)

    def gone(self, tab: Tab) -> None:
        self.tabs.remove(tab)
        self.seen[tab.client_id] = tab.last
        if not self.having(channel_key(tab.client_id)):
            self.left[tab.client_id] = Left(
                tab.last if tab.owed else self.history.latest,
                self.newest_pos[tab.client_id],
                self.bench.clock.monotonic_s + HISTORY_MAX_AGE_S,
            )

    @rule(number=st.integers(0, 100), plan=plans)
    @precondition(lambda self: self.tabs)
    def will(self, number: int, plan: list[str | Entry]) -> None:
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
        self.hub.resume(tab.session)

    @rule(number=st.integers(0, 100), burst=bursts)
    @precondition(lambda self: self.tabs)
    def is_slow_for_a_while(self, number: int, burst: list[Entry]) -> None:
        tab = self.tab(number)
        self.pause_tab(tab)
        self.publish_several(burst)
        if tab in self.tabs:
            self.resume_tab(tab)

    @rule(number=st.integers(0, 100))
    @precondition(lambda self: self.tabs)
    def detach(self, number: int) -> None:
        self.detach_tab(self.tab(number))

    def detach_tab(self, tab: Tab) -> None:
        assert tab.session
        self.gone(tab)
        self.hub.detach(tab.session)
        self.hub.detach(tab.session)

    @rule(number=st.integers(0, 100))
    @precondition(lambda self: self.tabs)
    def close(self, number: int) -> None:
        session = self.tab(number).session
        assert session
        self.hub.close(session, codes.REVOKED_TOKEN)

    # --- time ------------------------------------------------------------------------------

    @rule()
    def tick(self) -> None:
        self.bench.tick()

    @rule()
    def settle(self) -> None:
        """Nothing more comes: then everyone who takes anything has everything."""
        while self.bench.scheduled:
            self.bench.tick()
        assert all(tab.owed == 0 for tab in self.tabs if not tab.paused)
        assert not any(tab.dropped for tab in self.tabs if not tab.paused)

    @rule(seconds=st.floats(0, 70))
    def later(self, seconds: float) -> None:
        self.bench.clock.advance(seconds)
        self.hub.expire()
        self.history.expire(int(self.bench.clock.unix_s * 1000))
        now = self.bench.clock.monotonic_s
        self.left = {name: left for name, left in self.left.items() if left.forget_at > now}

    @rule(seconds=st.floats(0, 70))
    def clock_is_set_back(self, seconds: float) -> None:
        self.bench.clock.unix_s -= seconds

    # --- at all times ----------------------------------------------------------------------

    @invariant()
    def the_hub_holds_what_the_model_holds(self) -> None:
        hub = self.hub
        assert list(hub.sessions) == [tab.session for tab in self.tabs]
        clients = dict.fromkeys(tab.client_id for tab in self.tabs)
        assert {name: channel.sessions for name, channel in hub.roster.channels.items()} == {
            name: [tab.session for tab in self.having(channel_key(name))] for name in clients
        }
        assert {name: set(members) for name, members in hub.roster.groups.items()} == {
            group: {tab.session for tab in members}
            for group in GROUPS
            if (members := self.having(group_key(group)))
        }
        for tab in self.tabs:
            assert tab.session
            assert (tab.session.backlog, tab.session.position) == (tab.owed, tab.last)
        assert (hub.history.floor, hub.history.latest) == (self.history.floor, self.history.latest)
        assert hub.history.size_bytes == self.history.size_bytes

    @invariant()
    def whoever_is_owed_something_and_takes_it_gets_it_at_the_tick_s_end(self) -> None:
        assert len(self.bench.scheduled) <= 1
        for tab in self.tabs:
            assert tab.session
            assert (tab.session.state is State.PAUSED) == tab.paused
            if tab.owed and not tab.paused:
                assert tab.session.state is State.QUEUED
                assert self.bench.scheduled

    @invariant()
    def the_counters_count(self) -> None:
        counters = self.hub.counters
        assert counters.messages == len(self.history.everything)
        assert counters.deliveries == self.deliveries
        assert (counters.slow_closed, counters.dropped) == (self.slow_closed, self.dropped)


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = hypothesis_settings(max_examples=200, stateful_step_count=50, deadline=None)
