"""headrace.presence: per client, told once, in order, after the grace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.fakes import UNIX_S, HubBench

from headrace.application import UpdateMessage
from headrace.presence import Change, Presence

GRACE_S = 2.0
NOW = 1000.0
CAME, WENT = True, False


class Bench:
    """Presence, what it told, and both clocks."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.told: list[tuple[str, bool]] = []
        self.presence = Presence(grace_s, lambda change: self.told.append((*change,)))
        self.now = NOW

    def came(self, client_id: str) -> None:
        self.presence.came(client_id, UNIX_S + self.now - NOW)

    def went(self, client_id: str) -> None:
        self.presence.went(client_id, self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.presence.expire(self.now)


def test_the_first_session_tells_and_the_next_ones_do_not() -> None:
    bench = Bench()
    for _ in range(3):
        bench.came("a")
        bench.now += 10
    assert bench.told == [("a", CAME)]
    assert bench.presence.since("a") == UNIX_S


def test_a_client_is_gone_when_its_grace_is_over_and_not_before() -> None:
    bench = Bench()
    bench.came("a")
    bench.went("a")
    bench.wait(GRACE_S - 0.001)
    assert (bench.told, bench.presence.since("a")) == ([("a", CAME)], UNIX_S)
    bench.wait(0.001)
    assert bench.told == [("a", CAME), ("a", WENT)]
    assert bench.presence.since("a") is None
    assert len(bench.presence) == 0


def test_a_reload_within_the_grace_tells_nothing_and_keeps_since() -> None:
    bench = Bench()
    bench.came("a")
    for _ in range(5):
        bench.went("a")
        bench.wait(GRACE_S / 2)
        bench.came("a")
        bench.wait(GRACE_S)
    assert bench.told == [("a", CAME)]
    assert bench.presence.since("a") == UNIX_S


def test_without_a_grace_the_next_tick_tells() -> None:
    bench = Bench(grace_s=0.0)
    bench.came("a")
    bench.went("a")
    bench.wait(0)
    assert bench.told == [("a", CAME), ("a", WENT)]


def test_those_that_go_first_are_told_of_first() -> None:
    bench = Bench()
    for client_id in "abc":
        bench.came(client_id)
    for client_id in "bca":
        bench.went(client_id)
        bench.now += 0.1
    bench.wait(60)
    assert bench.told[3:] == [("b", WENT), ("c", WENT), ("a", WENT)]


def test_a_client_that_was_never_there_does_not_go() -> None:
    bench = Bench()
    bench.went("a")
    bench.wait(60)
    assert bench.told == []


def test_the_end_tells_of_everybody_also_of_those_in_their_grace() -> None:
    bench = Bench()
    for client_id in "abc":
        bench.came(client_id)
    bench.went("b")
    bench.presence.end_all()
    bench.wait(60)
    assert sorted(bench.told[3:]) == [("a", WENT), ("b", WENT), ("c", WENT)]
    assert len(bench.presence) == 0


def test_clients_of_an_earlier_process_have_come_already_and_may_come_back() -> None:
    bench = Bench()
    bench.presence.expect({"a": UNIX_S - 50, "b": UNIX_S - 60}, until=bench.now + 10)
    assert bench.presence.since("a") == UNIX_S - 50
    bench.came("a")
    bench.came("c")
    bench.went("c")
    bench.wait(GRACE_S)
    assert bench.told == [("c", CAME), ("c", WENT)]  # not held up by those who are waited for
    bench.wait(10)
    assert bench.told[2:] == [("b", WENT)]
    bench.went("a")
    bench.wait(GRACE_S)
    assert bench.told[3:] == [("a", WENT)]


steps = st.lists(
    st.tuples(st.sampled_from(["open", "close", "wait"]), st.sampled_from("abc"), st.floats(0, 3)),
    max_size=60,
)


@given(steps)
def test_any_tabs_of_any_clients_against_a_model(steps: list[tuple[str, str, float]]) -> None:
    bench = Bench()
    tabs = dict.fromkeys("abc", 0)
    present: dict[str, float | None] = dict.fromkeys("abc")
    gone_at = dict.fromkeys("abc", 0.0)
    expected: dict[str, list[bool]] = {client_id: [] for client_id in "abc"}
    for what, client_id, seconds in steps:
        if what == "open":
            tabs[client_id] += 1
            if present[client_id] is None:
                present[client_id] = UNIX_S + bench.now - NOW
                expected[client_id].append(CAME)
            bench.came(client_id)
        elif what == "close" and tabs[client_id]:
            tabs[client_id] -= 1
            if not tabs[client_id]:
                gone_at[client_id] = bench.now + GRACE_S
                bench.went(client_id)
        elif what == "wait":
            bench.wait(seconds)
            for one in "abc":
                if present[one] is not None and not tabs[one] and gone_at[one] <= bench.now:
                    present[one] = None
                    expected[one].append(WENT)
        told = {one: [c for client, c in bench.told if client == one] for one in "abc"}
        assert told == expected
        assert {one: bench.presence.since(one) for one in "abc"} == present


# --- through the hub ---------------------------------------------------------------------------


class Listener:
    """An application that remembers what it was told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def presence_changed(self, change: Change) -> None:
        self.changes.append(change)

    async def receive(self, message: UpdateMessage) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError


def test_the_hub_tells_per_client_and_not_per_tab() -> None:
    bench = HubBench(presence_grace_s=GRACE_S)
    bench.hub.application = listener = Listener()
    sessions = [bench.attach("alice")[0] for _ in range(3)]
    assert listener.changes == [Change("alice", connected=True)]
    for session in sessions:
        bench.hub.detach(session)
        bench.hub.detach(session)
        bench.clock.advance(GRACE_S - 0.1)
        bench.hub.expire()
    assert len(listener.changes) == 1
    bench.clock.advance(0.1)
    bench.hub.expire()
    assert listener.changes[1:] == [Change("alice", connected=False)]


def test_a_session_that_takes_the_place_of_another_tells_nothing() -> None:
    bench = HubBench(sessions_per_client=1)
    bench.hub.application = listener = Listener()
    for _ in range(3):
        bench.attach("alice")
    bench.clock.advance(60)
    bench.hub.expire()
    assert listener.changes == [Change("alice", connected=True)]


@pytest.mark.parametrize("grace_s", [0.0, GRACE_S])
def test_a_hub_without_an_application_knows_who_is_there(grace_s: float) -> None:
    bench = HubBench(presence_grace_s=grace_s)
    session, _ = bench.attach("alice")
    assert bench.hub.presence.since("alice") == UNIX_S
    bench.hub.detach(session)
    bench.clock.advance(grace_s)
    bench.hub.expire()
    assert bench.hub.presence.since("alice") is None
