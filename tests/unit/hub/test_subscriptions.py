"""hub/subscriptions.py: the recipients of an entry, and where a session starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.fakes import UNIX_S, MemorySink, python_calls

from headrace.auth.tokens import Claims
from headrace.errors import InputError
from headrace.hub.history import EVERYONE, channel_key, group_key
from headrace.hub.ring import RingBounds
from headrace.hub.session import Session
from headrace.hub.subscriptions import Subscriptions, history_keys
from headrace.messages.entries import Entry
from headrace.messages.position import Position

NOW = 1000.0
P1, P2, P3, P4 = (Position(number, 0) for number in (1, 2, 3, 4))


def claims(
    client_id: str = "a", *groups: str, pos: Position | None = None, iat: float | None = None
) -> Claims:
    text = None if pos is None else str(pos)
    return Claims(client_id, UNIX_S + 7200, iat, groups=groups, pos=text)


def session_of(*args: str, pos: Position | None = None) -> Session:
    return Session(claims(*args, pos=pos), MemorySink(), RingBounds(10, 10_000))


def enter(
    subscriptions: Subscriptions, *args: str, pos: Position | None = None, asked: Position = P1
) -> Session:
    session = session_of(*args, pos=pos)
    subscriptions.add(session, asked)
    return session


# --- recipients --------------------------------------------------------------------------------


def test_the_recipients_of_each_kind_of_target() -> None:
    subscriptions = Subscriptions()
    a1, a2 = enter(subscriptions, "a", "g"), enter(subscriptions, "a", "h")
    b = enter(subscriptions, "b", "g", "h", "g")
    cases: list[tuple[Entry, list[Session], tuple[str, ...]]] = [
        (Entry(data="", to=("a",)), [a1, a2], (channel_key("a"),)),
        (Entry(data="", to=("b", "x", "a", "b")), [b, a1, a2], ("b", "x", "a")),
        (Entry(data="", to=("x",)), [], (channel_key("x"),)),
        (Entry(data="", group="g"), [a1, b], (group_key("g"),)),
        (Entry(data="", group="x"), [], (group_key("x"),)),
        (Entry(data="", everyone=True), [a1, a2, b], (EVERYONE,)),
    ]
    for entry, sessions, keys in cases:
        recipients, found = subscriptions.recipients(entry)
        assert list(recipients) == sessions
        assert found == (keys if len(keys) == 1 else tuple(map(channel_key, keys)))


@pytest.mark.parametrize("entry", [Entry(data="", to=("a",)), Entry(data="", group="g")])
def test_looking_up_one_target_costs_two_python_calls(entry: Entry) -> None:
    subscriptions = Subscriptions()
    enter(subscriptions, "a", "g")
    assert python_calls(lambda: subscriptions.recipients(entry)) == 2


def test_keys_of_clients_groups_and_everyone_are_distinct() -> None:
    names = ["", "a", "@a", "#a", "everyone", EVERYONE]
    keys = [EVERYONE, *map(channel_key, names), *map(group_key, names)]
    assert len(set(keys)) == len(keys)
    assert set(history_keys("a", ["g"])) == {EVERYONE, channel_key("a"), group_key("g")}


# --- groups ------------------------------------------------------------------------------------


def test_members_are_the_clients_with_a_session_each_once() -> None:
    subscriptions = Subscriptions()
    first, second = enter(subscriptions, "a", "g"), enter(subscriptions, "a", "g")
    other = enter(subscriptions, "b", "g")
    assert subscriptions.groups.members("g") == ["a", "b"]
    subscriptions.remove(first, NOW)
    assert sorted(subscriptions.groups.members("g")) == ["a", "b"]
    subscriptions.remove(second, NOW)
    subscriptions.remove(other, NOW)
    assert (subscriptions.groups.members("g"), subscriptions.groups) == ([], {})


def test_update_groups_applies_overrides_to_an_open_session() -> None:
    subscriptions = Subscriptions()
    session = enter(subscriptions, "a", "g", "h")
    subscriptions.memberships.leave("a", "g", UNIX_S)
    subscriptions.memberships.join("a", "i", UNIX_S)
    subscriptions.memberships.join("a", "h", UNIX_S)
    assert subscriptions.groups.members("g") == ["a"]
    subscriptions.update_groups(session)
    assert set(session.groups) == {"h", "i"} == set(subscriptions.groups)
    later = enter(subscriptions, "a", "g")
    assert set(later.groups) == {"h", "i"}


class CountedName(str):
    """A group's name that counts how often it is compared with another one."""

    __slots__ = ()
    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedName.compared += 1
        return str.__eq__(self, other)


def test_updating_many_groups_takes_linear_time() -> None:
    subscriptions = Subscriptions()
    names = [CountedName(f"group {number}") for number in range(500)]
    for name in names:
        subscriptions.memberships.join("a", name, UNIX_S)
    session = enter(subscriptions, "a")
    subscriptions.memberships.join("a", "another", UNIX_S)
    CountedName.compared = 0
    subscriptions.update_groups(session)
    assert CountedName.compared < 10 * len(names)
    assert len(session.groups) == len(subscriptions.groups) == 501


# --- where a session starts ---------------------------------------------------------------------


def test_a_first_session_starts_at_the_pos_of_its_token_or_live() -> None:
    subscriptions = Subscriptions()
    assert subscriptions.start_position(claims(pos=P1)) == P1
    assert subscriptions.start_position(claims()) is None


def test_each_pos_is_used_once() -> None:
    subscriptions = Subscriptions()
    enter(subscriptions, "a", pos=P2)
    assert subscriptions.start_position(claims(pos=P2)) is None
    assert subscriptions.start_position(claims(pos=P1)) is None
    assert subscriptions.start_position(claims()) is None
    assert subscriptions.start_position(claims(pos=P3)) == P3


def test_a_client_without_a_session_resumes_where_its_last_one_left_off() -> None:
    subscriptions = Subscriptions()
    first, last = enter(subscriptions, "a", pos=P1), enter(subscriptions, "a")
    first.position, last.position = P3, P2
    assert subscriptions.remove(first, NOW + 60)
    assert not subscriptions.remove(last, NOW + 60)
    for pos in (None, P1, P3):
        assert subscriptions.start_position(claims(pos=pos)) == P2
    ((client_id, point),) = subscriptions.resume_points()
    assert (client_id, point.position, point.token_start.pos) == ("a", P2, P1)
    enter(subscriptions, "a")
    assert subscriptions.start_position(claims(pos=P1)) is None  # used by an earlier session
    assert list(subscriptions.resume_points()) == []


def test_if_the_earlier_attempt_was_not_served_since_is_the_latest_start() -> None:
    subscriptions = Subscriptions()
    assert subscriptions.start_position(claims(), P2) == P2
    assert subscriptions.start_position(claims(pos=P3), P2) == P2
    session = enter(subscriptions, "a")
    assert subscriptions.start_position(claims(), P2) == P2
    session.position = P2
    subscriptions.remove(session, NOW + 60)
    assert subscriptions.start_position(claims(), P1) == P1
    assert subscriptions.start_position(claims(), P3) == P2


def test_if_the_earlier_attempt_was_served_the_session_starts_where_that_did() -> None:
    subscriptions = Subscriptions()
    page = enter(subscriptions, "a", pos=P1)
    page.position = P1
    subscriptions.remove(page, NOW + 60)
    for _ in range(2):  # any number of times
        attempt = enter(subscriptions, "a", pos=P3, asked=P1)
        # Also before the connection is known to be lost.
        assert subscriptions.start_position(claims(pos=P3), P3) == P1
        attempt.position = P4
        subscriptions.remove(attempt, NOW + 60)
        assert subscriptions.start_position(claims(pos=P3), P3) == P1
    # For an even earlier attempt, with another token.
    assert subscriptions.start_position(claims(pos=P3), P2) == P1


def test_a_pos_that_is_not_an_id_is_an_input_error() -> None:
    bad = Claims("a", UNIX_S, pos="yesterday")
    with pytest.raises(InputError, match="'yesterday' is not an id"):
        Subscriptions().start_position(bad)


def test_resume_points_expire() -> None:
    subscriptions = Subscriptions()
    for number, client_id in enumerate("abc"):
        subscriptions.remove(enter(subscriptions, client_id), NOW + number)
    subscriptions.expire(NOW - 1)
    assert [client_id for client_id, _ in subscriptions.resume_points()] == ["a", "b", "c"]
    subscriptions.expire(NOW + 1)
    assert [client_id for client_id, _ in subscriptions.resume_points()] == ["c"]
    assert subscriptions.start_position(claims("a", pos=P1)) == P1


# --- any operations------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "join", "leave"]),
        st.sampled_from("ab"),
        st.lists(st.sampled_from("gh"), max_size=2),
        st.integers(0, 9),
    ),
    max_size=40,
)


@given(steps)
def test_the_indexes_are_consistent_after_any_operations(
    steps: list[tuple[str, str, list[str], int]],
) -> None:
    subscriptions = Subscriptions()
    sessions: list[Session] = []
    for number, (what, client_id, groups, which) in enumerate(steps):
        if what == "add":
            sessions.append(enter(subscriptions, client_id, *groups))
        elif what == "remove" and sessions:
            session = sessions.pop(which % len(sessions))
            others = [s for s in sessions if s.client_id == session.client_id]
            assert subscriptions.remove(session, NOW) is bool(others)
        elif what in ("join", "leave"):
            change = getattr(subscriptions.memberships, what)
            for group in groups:
                change(client_id, group, UNIX_S + number)
            for session in sessions:
                subscriptions.update_groups(session)
        assert list(subscriptions.sessions) == sessions
        by_client: dict[str, list[Session]] = {}
        for session in sessions:
            by_client.setdefault(session.client_id, []).append(session)
        assert {name: one.sessions for name, one in subscriptions.channels.items()} == by_client
        by_group: dict[str, set[Session]] = {}
        for session in sessions:
            assert set(session.groups) == set(subscriptions.groups_of(session.claims))
            for group in session.groups:
                by_group.setdefault(group, set()).add(session)
        assert {name: set(members) for name, members in subscriptions.groups.items()} == by_group
