"""headrace.roster: who an entry is for, where a session begins, and what is forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.fakes import UNIX_S, MemorySink

from headrace.entries import Entry
from headrace.errors import RequestError
from headrace.history import EVERYONE, channel_key, group_key
from headrace.position import Position
from headrace.ring import RingBounds
from headrace.roster import Roster, keys_of
from headrace.session import Session
from headrace.tokens import Claims

NOW = 1000.0
P1, P2, P3, P4 = (Position(number, 0) for number in (1, 2, 3, 4))


def claims(
    client_id: str = "a", *groups: str, pos: Position | None = None, iat: float | None = None
) -> Claims:
    text = None if pos is None else str(pos)
    return Claims(client_id, UNIX_S + 7200, iat, groups=groups, pos=text)


def session_of(*args: str, pos: Position | None = None) -> Session:
    return Session(claims(*args, pos=pos), MemorySink(), RingBounds(10, 10_000))


def enter(roster: Roster, *args: str, pos: Position | None = None, asked: Position = P1) -> Session:
    session = session_of(*args, pos=pos)
    roster.add(session, asked)
    return session


# --- the audience ------------------------------------------------------------------------------


def test_the_audience_of_each_kind_of_target() -> None:
    roster = Roster()
    a1, a2 = enter(roster, "a", "g"), enter(roster, "a", "h")
    b = enter(roster, "b", "g", "h", "g")
    cases: list[tuple[Entry, list[Session], tuple[str, ...]]] = [
        (Entry(data="", to=("a",)), [a1, a2], (channel_key("a"),)),
        (Entry(data="", to=("b", "x", "a", "b")), [b, a1, a2], ("b", "x", "a")),
        (Entry(data="", to=("x",)), [], (channel_key("x"),)),
        (Entry(data="", group="g"), [a1, b], (group_key("g"),)),
        (Entry(data="", group="x"), [], (group_key("x"),)),
        (Entry(data="", everyone=True), [a1, a2, b], (EVERYONE,)),
    ]
    for entry, sessions, keys in cases:
        audience, found = roster.audience(entry)
        assert list(audience) == sessions
        assert found == (keys if len(keys) == 1 else tuple(map(channel_key, keys)))


def test_keys_of_clients_groups_and_everyone_cannot_be_mixed_up() -> None:
    names = ["", "a", "@a", "#a", "everyone", EVERYONE]
    keys = [EVERYONE, *map(channel_key, names), *map(group_key, names)]
    assert len(set(keys)) == len(keys)
    assert set(keys_of("a", ["g"])) == {EVERYONE, channel_key("a"), group_key("g")}


# --- groups ------------------------------------------------------------------------------------


def test_members_are_clients_each_once_while_they_have_a_session() -> None:
    roster = Roster()
    first, second = enter(roster, "a", "g"), enter(roster, "a", "g")
    other = enter(roster, "b", "g")
    assert roster.members("g") == ["a", "b"]
    roster.remove(first, NOW)
    assert sorted(roster.members("g")) == ["a", "b"]
    roster.remove(second, NOW)
    roster.remove(other, NOW)
    assert (roster.members("g"), roster.groups) == ([], {})


def test_the_application_s_word_moves_open_sessions_when_they_are_regrouped() -> None:
    roster = Roster()
    session = enter(roster, "a", "g", "h")
    roster.memberships.leave("a", "g", UNIX_S)
    roster.memberships.join("a", "i", UNIX_S)
    roster.memberships.join("a", "h", UNIX_S)
    assert roster.members("g") == ["a"]
    roster.regroup(session)
    assert set(session.groups) == {"h", "i"} == set(roster.groups)
    later = enter(roster, "a", "g")
    assert set(later.groups) == {"h", "i"}


# --- where a session begins --------------------------------------------------------------------


def test_a_first_session_begins_at_its_token_s_pos_or_live() -> None:
    roster = Roster()
    assert roster.starting_point(claims(pos=P1)) == P1
    assert roster.starting_point(claims()) is None


def test_a_pos_is_used_once_and_a_newer_one_again() -> None:
    roster = Roster()
    enter(roster, "a", pos=P2)
    assert roster.starting_point(claims(pos=P2)) is None
    assert roster.starting_point(claims(pos=P1)) is None
    assert roster.starting_point(claims()) is None
    assert roster.starting_point(claims(pos=P3)) == P3


def test_a_client_that_comes_back_goes_on_where_its_last_session_left_off() -> None:
    roster = Roster()
    first, last = enter(roster, "a", pos=P1), enter(roster, "a")
    first.position, last.position = P3, P2
    assert roster.remove(first, NOW + 60)
    assert not roster.remove(last, NOW + 60)
    for pos in (None, P1, P3):
        assert roster.starting_point(claims(pos=pos)) == P2
    ((client_id, left),) = roster.left()
    assert (client_id, left.position, left.origin.pos) == ("a", P2, P1)
    enter(roster, "a")
    assert roster.starting_point(claims(pos=P1)) is None  # used by an earlier session
    assert list(roster.left()) == []


def test_where_nothing_began_since_is_the_latest_place_to_begin() -> None:
    roster = Roster()
    assert roster.starting_point(claims(), P2) == P2
    assert roster.starting_point(claims(pos=P3), P2) == P2
    session = enter(roster, "a")
    assert roster.starting_point(claims(), P2) == P2
    session.position = P2
    roster.remove(session, NOW + 60)
    assert roster.starting_point(claims(), P1) == P1
    assert roster.starting_point(claims(), P3) == P2


def test_what_began_unseen_begins_there_again() -> None:
    roster = Roster()
    page = enter(roster, "a", pos=P1)
    page.position = P1
    roster.remove(page, NOW + 60)
    for _ in range(2):  # however often
        unseen = enter(roster, "a", pos=P3, asked=P1)
        assert roster.starting_point(claims(pos=P3), P3) == P1  # before it is known to be lost
        unseen.position = P4
        roster.remove(unseen, NOW + 60)
        assert roster.starting_point(claims(pos=P3), P3) == P1
    assert roster.starting_point(claims(pos=P3), P2) == P1  # an attempt before, with another token


def test_a_pos_that_is_no_id_is_the_caller_s_fault() -> None:
    bad = Claims("a", UNIX_S, pos="yesterday")
    with pytest.raises(RequestError) as caught:
        Roster().starting_point(bad)
    assert caught.value.status == 400


def test_who_left_long_ago_is_forgotten() -> None:
    roster = Roster()
    for number, client_id in enumerate("abc"):
        roster.remove(enter(roster, client_id), NOW + number)
    roster.expire(NOW - 1)
    assert [client_id for client_id, _ in roster.left()] == ["a", "b", "c"]
    roster.expire(NOW + 1)
    assert [client_id for client_id, _ in roster.left()] == ["c"]
    assert roster.starting_point(claims("a", pos=P1)) == P1


# --- any order ---------------------------------------------------------------------------------

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
def test_the_indexes_agree_whatever_happens(
    steps: list[tuple[str, str, list[str], int]],
) -> None:
    roster = Roster()
    sessions: list[Session] = []
    for number, (what, client_id, groups, which) in enumerate(steps):
        if what == "add":
            sessions.append(enter(roster, client_id, *groups))
        elif what == "remove" and sessions:
            session = sessions.pop(which % len(sessions))
            others = [s for s in sessions if s.client_id == session.client_id]
            assert roster.remove(session, NOW) is bool(others)
        elif what in ("join", "leave"):
            say = getattr(roster.memberships, what)
            for group in groups:
                say(client_id, group, UNIX_S + number)
            for session in sessions:
                roster.regroup(session)
        assert list(roster.sessions) == sessions
        by_client: dict[str, list[Session]] = {}
        for session in sessions:
            by_client.setdefault(session.client_id, []).append(session)
        assert {name: one.sessions for name, one in roster.channels.items()} == by_client
        by_group: dict[str, set[Session]] = {}
        for session in sessions:
            assert set(session.groups) == set(roster.groups_of(session.claims))
            for group in session.groups:
                by_group.setdefault(group, set()).add(session)
        assert {name: set(members) for name, members in roster.groups.items()} == by_group
