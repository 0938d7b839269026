"""headrace.revocation: which tokens a moment ends, and for how long that is remembered."""

import pytest

from headrace import limits
from headrace.errors import RevokedTokenError
from headrace.revocation import Revocations
from headrace.tokens import Claims, TokenSigner

NOW = 1_732_412_345.678
LIFE_S = limits.TOKEN_MAX_MINUTES * 60


def claims(iat: float | None, client_id: str = "alice") -> Claims:
    return Claims(client_id, NOW + 7200, iat)


def is_revoked(revocations: Revocations, one: Claims) -> bool:
    try:
        revocations.check(one)
    except RevokedTokenError:
        return True
    return False


def test_a_revoked_token_s_fault_is_the_contract_s() -> None:
    revocations = Revocations()
    revocations.revoke("alice", NOW)
    with pytest.raises(RevokedTokenError) as caught:
        revocations.check(claims(NOW))
    assert (caught.value.close_code, caught.value.description) == (4003, "Token+revoked.")


@pytest.mark.parametrize(
    ("iat", "revoked"),
    [(None, True), (0, True), (NOW - 1, True), (NOW, True), (NOW + 0.001, False)],
)
def test_tokens_issued_up_to_the_moment_are_revoked(iat: float | None, revoked: bool) -> None:
    revocations = Revocations()
    revocations.revoke("alice", NOW)
    assert is_revoked(revocations, claims(iat)) is revoked
    assert not is_revoked(revocations, claims(iat, "bob"))


def test_a_token_minted_in_the_same_millisecond_opens_the_channel_again() -> None:
    signer = TokenSigner([b"s" * 32])
    revocations = Revocations()
    revocations.revoke("alice", NOW)
    for at in (NOW - 5, NOW, NOW + 0.0004, NOW + 5):  # the clock may also have stepped back
        issued_at = revocations.not_revoked_at("alice", at)
        token = signer.mint("alice", now=issued_at).token
        revocations.check(signer.verify(token, now=NOW))
    assert revocations.not_revoked_at("bob", NOW) == NOW


def test_a_later_moment_counts() -> None:
    revocations = Revocations()
    revocations.revoke("alice", NOW)
    revocations.revoke("alice", NOW + 10)
    assert is_revoked(revocations, claims(NOW + 5))
    assert revocations.moments() == {"alice": NOW + 10}


def test_a_moment_is_remembered_for_as_long_as_a_token_can_last() -> None:
    revocations = Revocations()
    revocations.revoke("alice", NOW)
    revocations.revoke("bob", NOW + 1)
    revocations.revoke("alice", NOW + 2)
    revocations.expire(NOW + LIFE_S)
    assert len(revocations) == 2
    revocations.expire(NOW + LIFE_S + 1)
    assert set(revocations.moments()) == {"alice"}
    revocations.expire(NOW + LIFE_S + 2)
    assert len(revocations) == 0
