"""hub/presence.py: per client and not per session, once, in order, after the grace."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.fakes import UNIX_S, ManualClock, MemorySink, claims_of

from headrace.hub.core import HubCore
from headrace.hub.presence import Presence, PresenceChange
from headrace.hub.session import Session
from headrace.settings import Settings

GRACE_S = 2.0
NOW = 1000.0
CONNECTED, DISCONNECTED = True, False


class Bench:
    """Presence, the changes that it reported, and both clocks."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.changes: list[tuple[str, bool]] = []
        self.presence = Presence(grace_s, lambda change: self.changes.append((*change,)))
        self.now = NOW

    def open(self, client_id: str) -> None:
        self.presence.session_opened(client_id, UNIX_S + self.now - NOW)

    def close(self, client_id: str) -> None:
        self.presence.last_session_closed(client_id, self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.presence.expire(self.now)


def test_only_the_first_session_is_a_change() -> None:
    bench = Bench()
    for _ in range(3):
        bench.open("a")
        bench.now += 10
    assert bench.changes == [("a", CONNECTED)]
    assert bench.presence.since("a") == UNIX_S


def test_a_client_is_disconnected_exactly_when_its_grace_is_over() -> None:
    bench = Bench()
    bench.open("a")
    bench.close("a")
    bench.wait(GRACE_S - 0.001)
    assert (bench.changes, bench.presence.since("a")) == ([("a", CONNECTED)], UNIX_S)
    bench.wait(0.001)
    assert bench.changes == [("a", CONNECTED), ("a", DISCONNECTED)]
    assert bench.presence.since("a") is None
    assert len(bench.presence) == 0


def test_a_reload_within_the_grace_is_no_change_and_keeps_since() -> None:
    bench = Bench()
    bench.open("a")
    for _ in range(5):
        bench.close("a")
        bench.wait(GRACE_S / 2)
        bench.open("a")
        bench.wait(GRACE_S)
    assert bench.changes == [("a", CONNECTED)]
    assert bench.presence.since("a") == UNIX_S


def test_without_a_grace_the_next_expire_disconnects() -> None:
    bench = Bench(grace_s=0.0)
    bench.open("a")
    bench.close("a")
    bench.wait(0)
    assert bench.changes == [("a", CONNECTED), ("a", DISCONNECTED)]


def test_clients_are_disconnected_in_the_order_in_which_they_left() -> None:
    bench = Bench()
    for client_id in "abc":
        bench.open(client_id)
    for client_id in "bca":
        bench.close(client_id)
        bench.now += 0.1
    bench.wait(60)
    assert bench.changes[3:] == [("b", DISCONNECTED), ("c", DISCONNECTED), ("a", DISCONNECTED)]


def test_a_client_that_was_never_online_is_not_disconnected() -> None:
    bench = Bench()
    bench.close("a")
    bench.wait(60)
    assert bench.changes == []


def test_disconnect_all_includes_clients_in_their_grace() -> None:
    bench = Bench()
    for client_id in "abc":
        bench.open(client_id)
    bench.close("b")
    bench.presence.disconnect_all()
    bench.wait(60)
    assert sorted(bench.changes[3:]) == [
        ("a", DISCONNECTED),
        ("b", DISCONNECTED),
        ("c", DISCONNECTED),
    ]
    assert len(bench.presence) == 0


def test_restored_clients_are_online_and_have_time_to_return() -> None:
    bench = Bench()
    bench.presence.restore({"a": UNIX_S - 50, "b": UNIX_S - 60}, until=bench.now + 10)
    assert bench.presence.since("a") == UNIX_S - 50
    bench.open("a")
    bench.open("c")
    bench.close("c")
    bench.wait(GRACE_S)
    assert bench.changes == [
        ("c", CONNECTED),
        ("c", DISCONNECTED),
    ]  # not delayed by restored clients
    bench.wait(10)
    assert bench.changes[2:] == [("b", DISCONNECTED)]
    bench.close("a")
    bench.wait(GRACE_S)
    assert bench.changes[3:] == [("a", DISCONNECTED)]


steps = st.lists(
    st.tuples(st.sampled_from(["open", "close", "wait"]), st.sampled_from("abc"), st.floats(0, 3)),
    max_size=60,
)


@given(steps)
def test_any_sessions_of_any_clients_against_a_model(steps: list[tuple[str, str, float]]) -> None:
    bench = Bench()
    sessions = dict.fromkeys("abc", 0)
    present: dict[str, float | None] = dict.fromkeys("abc")
    gone_at = dict.fromkeys("abc", 0.0)
    expected: dict[str, list[bool]] = {client_id: [] for client_id in "abc"}
    for what, client_id, seconds in steps:
        if what == "open":
            sessions[client_id] += 1
            if present[client_id] is None:
                present[client_id] = UNIX_S + bench.now - NOW
                expected[client_id].append(CONNECTED)
            bench.open(client_id)
        elif what == "close" and sessions[client_id]:
            sessions[client_id] -= 1
            if not sessions[client_id]:
                gone_at[client_id] = bench.now + GRACE_S
                bench.close(client_id)
        elif what == "wait":
            bench.wait(seconds)
            for one in "abc":
                if present[one] is not None and not sessions[one] and gone_at[one] <= bench.now:
                    present[one] = None
                    expected[one].append(DISCONNECTED)
        changes = {one: [c for client, c in bench.changes if client == one] for one in "abc"}
        assert changes == expected
        assert {one: bench.presence.since(one) for one in "abc"} == present


# --- in the hub's core -------------------------------------------------------------------------


class CoreBench:
    """A core, the presence changes that it reported, and its clock."""

    def __init__(self, **settings: Any) -> None:
        self.changes: list[PresenceChange] = []
        self.clock = ManualClock()
        schedule = list[Callable[[], None]]().append
        self.core = HubCore(Settings(**settings), self.clock.clocks, schedule, self.changes.append)

    def attach(self) -> Session:
        return self.core.attach(claims_of("alice"), MemorySink())

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.core.expire()


def test_changes_are_reported_per_client_and_not_per_session() -> None:
    bench = CoreBench(presence_grace_s=GRACE_S)
    sessions = [bench.attach() for _ in range(3)]
    assert bench.changes == [PresenceChange("alice", connected=True)]
    for session in sessions:
        bench.core.detach(session)
        bench.core.detach(session)
        bench.advance(GRACE_S - 0.1)
    assert len(bench.changes) == 1
    bench.advance(0.1)
    assert bench.changes[1:] == [PresenceChange("alice", connected=False)]


def test_a_session_that_replaces_another_is_no_change() -> None:
    bench = CoreBench(sessions_per_client=1)
    for _ in range(3):
        bench.attach()
    bench.advance(60)
    assert bench.changes == [PresenceChange("alice", connected=True)]


@pytest.mark.parametrize("grace_s", [0.0, GRACE_S])
def test_since_is_the_time_of_the_first_session(grace_s: float) -> None:
    bench = CoreBench(presence_grace_s=grace_s)
    session = bench.attach()
    assert bench.core.presence.since("alice") == UNIX_S
    bench.core.detach(session)
    bench.advance(grace_s)
    assert bench.core.presence.since("alice") is None
