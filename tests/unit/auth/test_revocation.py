"""auth/revocation.py: which tokens are revoked, and for how long that is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.fakes import ManualClock

from headrace.auth.revocation import KEPT_S, Revocations
from headrace.auth.tokens import CLOCK_SKEW_S, Claims, TokenSigner
from headrace.errors import RevokedTokenError
from headrace.messages.position import Position

NOW = 1_732_412_345.678
MONOTONIC = 1000.0
YEAR_S = 365 * 86400
BEFORE, REVOKED, AFTER = (Position(1_732_412_345_678, seq) for seq in (6, 7, 8))
SIGNER = TokenSigner([b"s" * 32])


def claims(iat: float | None, client_id: str = "alice", pos: Position | None = None) -> Claims:
    return Claims(client_id, NOW + 7200, iat, pos=None if pos is None else str(pos))


def is_revoked(revocations: Revocations, one: Claims) -> bool:
    try:
        revocations.check(one)
    except RevokedTokenError:
        return True
    return False


def revocations_of(client_id: str = "alice", at: float = NOW) -> Revocations:
    revocations = Revocations()
    revocations.revoke(client_id, at, REVOKED, MONOTONIC)
    return revocations


def test_a_revoked_token_raises_the_error_of_the_contract() -> None:
    with pytest.raises(RevokedTokenError) as caught:
        revocations_of().check(claims(NOW))
    assert (caught.value.close_code, caught.value.description) == (4003, "Token+revoked.")


@pytest.mark.parametrize("pos", [None, Position(0, 0), BEFORE])
@pytest.mark.parametrize(
    ("iat", "revoked"),
    [
        (None, True),
        (0, True),
        (NOW - 1, True),
        (NOW, True),
        (NOW + CLOCK_SKEW_S, True),  # issued before the revocation by a clock that is ahead
        (NOW + CLOCK_SKEW_S + 0.001, False),
    ],
)
def test_without_a_newer_pos_tokens_are_revoked_up_to_the_clock_skew(
    iat: float | None, revoked: bool, pos: Position | None
) -> None:
    revocations = revocations_of()
    assert is_revoked(revocations, claims(iat, pos=pos)) is revoked
    assert not is_revoked(revocations, claims(iat, "bob", pos=pos))


@pytest.mark.parametrize("pos", [REVOKED, AFTER])
@pytest.mark.parametrize("iat", [None, NOW - YEAR_S, NOW, NOW + YEAR_S])
def test_a_token_with_a_newer_pos_is_valid_whatever_the_clocks_say(
    pos: Position, iat: float | None
) -> None:
    assert not is_revoked(revocations_of(), claims(iat, pos=pos))


def test_a_token_of_a_clock_ahead_is_still_revoked_when_our_clock_has_reached_it() -> None:
    revocations = revocations_of()
    token = SIGNER.mint("alice", now=NOW + 200).token
    for seconds in (0, 200, 300, 3600, 7000):
        revocations.expire(MONOTONIC + seconds, NOW + seconds)
        with pytest.raises(RevokedTokenError):
            revocations.check(SIGNER.verify(token, now=NOW + seconds))


def test_the_latest_revocation_counts() -> None:
    revocations = revocations_of()
    revocations.revoke("alice", NOW + 1000, AFTER, MONOTONIC + 1000)
    assert is_revoked(revocations, claims(NOW + 1000, pos=REVOKED))
    assert not is_revoked(revocations, claims(NOW + 1000, pos=AFTER))
    assert list(revocations.entries()) == ["alice"]


def test_a_revocation_is_kept_for_as_long_as_a_token_can_be_valid() -> None:
    revocations = Revocations()
    for client_id, seconds in [("alice", 0), ("bob", 1), ("alice", 2)]:
        revocations.revoke(client_id, NOW + seconds, REVOKED, MONOTONIC + seconds)
    assert KEPT_S == 24 * 3600 + 300
    revocations.expire(MONOTONIC + KEPT_S, NOW + KEPT_S)
    assert len(revocations) == 2
    revocations.expire(MONOTONIC + KEPT_S + 1, NOW + KEPT_S + 1)
    assert set(revocations.entries()) == {"alice"}
    revocations.expire(MONOTONIC + KEPT_S + 2, NOW + KEPT_S + 2)
    assert len(revocations) == 0


# --- a clock that is set ---------------------------------------------------------------------


def expire(revocations: Revocations, clock: ManualClock) -> None:
    revocations.expire(clock.monotonic_s, clock.unix_s)


def test_new_tokens_are_valid_after_a_clock_that_was_a_year_ahead_came_back() -> None:
    clock, revocations = ManualClock(), Revocations()
    clock.unix_s += YEAR_S
    revocations.revoke("alice", clock.unix_s, REVOKED, clock.monotonic_s)
    expire(revocations, clock)
    clock.unix_s -= YEAR_S
    expire(revocations, clock)
    assert not is_revoked(revocations, claims(clock.unix_s, pos=AFTER))
    assert is_revoked(revocations, claims(clock.unix_s))
    clock.advance(CLOCK_SKEW_S + 1)
    expire(revocations, clock)
    assert not is_revoked(revocations, claims(clock.unix_s))
    assert is_revoked(revocations, claims(clock.unix_s - CLOCK_SKEW_S - 1))
    assert is_revoked(revocations, claims(clock.unix_s + YEAR_S - CLOCK_SKEW_S - 1))


def test_a_restored_revocation_of_a_clock_that_was_ahead_is_noticed() -> None:
    revocations = revocations_of(at=NOW + YEAR_S)
    revocations.expire(MONOTONIC, NOW)
    assert is_revoked(revocations, claims(NOW + CLOCK_SKEW_S))
    assert not is_revoked(revocations, claims(NOW + CLOCK_SKEW_S + 1))


def test_old_tokens_stay_revoked_if_the_clock_is_set_back_and_corrected() -> None:
    clock = ManualClock()
    revocations = revocations_of(at=clock.unix_s)
    expire(revocations, clock)
    old = claims(clock.unix_s - 10)
    for step_s in (-3600.0, 3600.0):
        clock.unix_s += step_s
        expire(revocations, clock)
        assert is_revoked(revocations, old)


def test_a_clock_that_is_a_year_ahead_for_a_while_deletes_no_revocation() -> None:
    clock = ManualClock()
    revocations = revocations_of(at=clock.unix_s)
    for step_s in (YEAR_S, -YEAR_S):
        clock.unix_s += step_s
        expire(revocations, clock)
    assert is_revoked(revocations, claims(clock.unix_s))


@given(
    st.lists(
        st.tuples(st.sampled_from(["mint", "revoke"]), st.floats(-300, 300), st.floats(0, 600)),
        max_size=20,
    )
)
def test_no_token_issued_before_a_revocation_is_valid_whatever_the_skew_of_its_issuer(
    steps: list[tuple[str, float, float]],
) -> None:
    """Tokens of the server itself are valid until the next revocation."""
    clock, revocations = ManualClock(), Revocations()
    own: list[Claims] = []
    others: list[Claims] = []
    revoked: list[Claims] = []
    for number, (what, skew_s, seconds) in enumerate(steps):
        if what == "mint":
            others.append(claims(clock.unix_s + skew_s))
            own.append(claims(clock.unix_s, pos=Position(number, 0)))
        else:
            revocations.revoke("alice", clock.unix_s, Position(number, 0), clock.monotonic_s)
            revoked += own + others
            own, others = [], []
        clock.advance(seconds)
        expire(revocations, clock)
        assert all(is_revoked(revocations, one) for one in revoked)
        assert not any(is_revoked(revocations, one) for one in own)
