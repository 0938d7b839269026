"""hub/membership_overrides.py: the application's overrides and the token's claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InputError
from headrace.hub import membership_overrides
from headrace.hub.membership_overrides import Memberships

AT = 1000.0


def groups(memberships: Memberships, *claimed: str, issued_at: float | None = AT) -> set[str]:
    found = memberships.groups_of("alice", claimed, issued_at)
    assert len(found) == len(set(found)), "a client is in a group once"
    assert memberships.groups_of("bob", claimed, issued_at) == tuple(dict.fromkeys(claimed))
    return set(found)


def test_without_an_override_the_claims_count_each_group_once() -> None:
    assert Memberships().groups_of("alice", ["g", "h", "g"], AT) == ("g", "h")


def test_joining_adds_the_group_to_every_token() -> None:
    memberships = Memberships()
    memberships.join("alice", "g", AT)
    assert groups(memberships) == {"g"}
    assert groups(memberships, "g", "h", "g") == {"g", "h"}
    assert groups(memberships, issued_at=None) == {"g"}


def test_leaving_overrides_the_claims_of_tokens_issued_so_far() -> None:
    memberships = Memberships()
    memberships.leave("alice", "g", AT)
    for issued_at in (None, 0.0, AT - 1, AT):
        assert groups(memberships, "g", "h", issued_at=issued_at) == {"h"}
    assert groups(memberships, "g", "h", issued_at=AT + 0.001) == {"g", "h"}


def test_the_last_override_counts() -> None:
    memberships = Memberships()
    memberships.join("alice", "g", AT)
    memberships.leave("alice", "g", AT + 1)
    assert groups(memberships, "g", issued_at=AT) == set()
    memberships.join("alice", "g", AT + 2)
    assert groups(memberships, issued_at=AT) == {"g"}


def test_an_override_of_leaving_expires_and_one_of_joining_does_not() -> None:
    memberships = Memberships()
    memberships.leave("alice", "g", AT)
    memberships.leave("alice", "h", AT + 1)
    memberships.join("alice", "i", AT)
    memberships.expire(AT)
    assert groups(memberships, "g", "h", issued_at=AT) == {"i"}
    memberships.expire(AT + 1)
    assert groups(memberships, "g", "h", issued_at=AT) == {"g", "i"}
    memberships.expire(AT + 2)
    assert groups(memberships, "g", "h", issued_at=AT) == {"g", "h", "i"}
    assert list(memberships.overrides()) == [("alice", "i", True, AT)]


def test_nothing_is_stored_of_a_client_whose_overrides_expired() -> None:
    memberships = Memberships()
    for number in range(10):
        memberships.leave(f"client {number}", "g", AT)
    memberships.expire(AT + 1)
    assert list(memberships.overrides()) == []


def test_the_groups_that_a_client_is_added_to_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership_overrides, "JOINED_MAX_GROUPS", 3)
    memberships = Memberships()
    for group in "abc":
        memberships.check_join("alice", group)
        memberships.join("alice", group, AT)
    memberships.check_join("alice", "c")  # it is in this one already
    memberships.check_join("bob", "d")
    with pytest.raises(InputError, match="is in 3 groups, and at most 3 are allowed"):
        memberships.check_join("alice", "d")
    memberships.leave("alice", "a", AT + 1)
    memberships.check_join("alice", "d")  # groups that it left do not count
    memberships.check_join("alice", "a")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["join", "leave", "expire"]),
            st.sampled_from("gh"),
            st.integers(0, 3),
        ),
        max_size=30,
    ),
    st.lists(st.sampled_from("ghi"), max_size=4),
    st.none() | st.integers(0, 60),
)
def test_any_overrides_against_a_model(
    steps: list[tuple[str, str, int]], claimed: list[str], issued_at: int | None
) -> None:
    memberships = Memberships()
    last: dict[str, tuple[bool, int]] = {}
    now = expired = 0
    for what, group, seconds in steps:
        now += seconds
        if what == "expire":
            expired = now - 2
            memberships.expire(expired)
            last = {
                name: override
                for name, override in last.items()
                if override[0] or override[1] >= expired
            }
        else:
            last[group] = (what == "join", now)
            (memberships.join if what == "join" else memberships.leave)("alice", group, now)
    expected = {group for group, (joined, _) in last.items() if joined}
    for group in claimed:
        joined, at = last.get(group, (True, 0))
        if joined or (issued_at is not None and issued_at > at):
            expected.add(group)
    assert groups(memberships, *claimed, issued_at=issued_at) == expected
