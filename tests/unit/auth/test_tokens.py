"""auth/tokens.py, with PyJWT as the other side and the example of RFC 7515."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import limits
from headrace.auth.tokens import Claims, TokenSigner, decode_unverified
from headrace.errors import (
    ConfigError,
    ExpiredTokenError,
    InputError,
    InvalidTokenError,
    TokenError,
)

NOW = 1_732_412_345.678
SECRET = b"a secret of thirty-two bytes, ok"
OTHER = b"another secret of 32 bytes, yes."

SIGNER = TokenSigner([SECRET])


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(signing_input: str, secret: bytes = SECRET) -> str:
    """Return a token with a valid signature, so that the fault must be found elsewhere."""
    digest = hmac.digest(secret, signing_input.encode(), hashlib.sha256)
    return f"{signing_input}.{b64(digest)}"


def token_of(payload: bytes | dict[str, Any], header: bytes | dict[str, Any] | None = None) -> str:
    if header is None:
        header = {"alg": "HS256"}
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)
    ]
    return sign(".".join(b64(part) for part in parts))


def header_of(header: bytes) -> str:
    return token_of(b"{}", header)


def claims_with(**changes: Any) -> dict[str, Any]:
    return {"sub": "alice", "exp": NOW + 600, **changes}


def invalid(token: str, now: float = NOW, signer: TokenSigner = SIGNER) -> str:
    """Return the text of the InvalidTokenError, which must not show a part of the token."""
    with pytest.raises(InvalidTokenError) as caught:
        signer.verify(token, now=now)
    assert caught.value.description == "Invalid+token."
    text = str(caught.value)
    assert not any(len(part) > 8 and part in text for part in token.split("."))
    return text


# --- PyJWT as the other side -----------------------------------------------------------------


def test_minted_tokens_are_verified_by_pyjwt() -> None:
    now = time.time()
    minted = SIGNER.mint(
        "élève/1", now=now, minutes=5, groups=["lobby"], send=["group:lobby"], pos="12-3"
    )
    claims = jwt.decode(minted.token, SECRET, algorithms=["HS256"], options={"require": ["exp"]})
    assert claims == {
        "sub": "élève/1",
        "exp": minted.expires_at,
        "iat": round(now, 3),
        "groups": ["lobby"],
        "send": ["group:lobby"],
        "pos": "12-3",
    }
    assert minted.expires_at == round(now, 3) + 300
    assert jwt.get_unverified_header(minted.token) == {"alg": "HS256", "typ": "JWT"}


def test_claims_without_a_value_are_omitted() -> None:
    minted = SIGNER.mint("alice", now=NOW)
    claims = jwt.decode(minted.token, SECRET, algorithms=["HS256"], options={"verify_exp": False})
    assert claims == {"sub": "alice", "exp": NOW + 7200, "iat": NOW}


def test_tokens_minted_by_pyjwt_are_verified() -> None:
    claims = {
        "sub": "alice",
        "exp": int(NOW) + 600,
        "iat": int(NOW) - 10,
        "nbf": int(NOW) - 5,
        "jti": "1",
        "groups": ["lobby", "staff"],
        "send": ["group:lobby"],
        "pos": "1732412345678-0",
        "iss": "application",
        "aud": ["headrace"],
        "nested": {"any": [1, None]},
    }
    assert SIGNER.verify(jwt.encode(claims, SECRET, "HS256"), now=NOW) == Claims(
        sub="alice",
        exp=int(NOW) + 600,
        iat=int(NOW) - 10,
        nbf=int(NOW) - 5,
        jti="1",
        groups=("lobby", "staff"),
        send=("group:lobby",),
        pos="1732412345678-0",
        key_id=SIGNER.key_ids[0],
    )


def test_the_key_id_names_the_secret_and_cannot_be_claimed() -> None:
    both = TokenSigner([SECRET, OTHER])
    forged = jwt.encode(claims_with(key_id="x", **{"(key_id)": "x"}), OTHER, "HS256")
    assert both.verify(forged, now=NOW).key_id == both.key_ids[1]
    assert len(set(both.key_ids)) == 2
    assert not any(key_id.encode() in SECRET + OTHER for key_id in both.key_ids)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_hmac_of_pyjwt_is_refused(algorithm: str) -> None:
    long_secret = SECRET + OTHER
    token = jwt.encode(claims_with(), long_secret, algorithm)
    assert "HS256" in invalid(token, signer=TokenSigner([long_secret]))


@pytest.mark.parametrize("minutes", [1, 120, 1440])
@pytest.mark.parametrize("now", [0, NOW, 2**31 - 30.001, 1e11 + 0.123])
def test_minted_tokens_are_valid_at_once(minutes: int, now: float) -> None:
    minted = SIGNER.mint(
        "alice", now=now, minutes=minutes, groups=["a"], send=["group:*"], pos="0-0"
    )
    claims = SIGNER.verify(minted.token, now=now)
    assert (claims.sub, claims.groups, claims.send, claims.pos) == (
        "alice",
        ("a",),
        ("group:*",),
        "0-0",
    )
    assert claims.exp == minted.expires_at
    assert minted.expires_at - now == pytest.approx(minutes * 60, abs=0.001)


# --- RFC 7515 appendix A.1 -------------------------------------------------------------------

RFC_KEY = base64.urlsafe_b64decode(
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
)
RFC_SIGNING_INPUT = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
RFC_SIGNATURE = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def test_the_signature_of_the_rfc_example() -> None:
    (signature,) = TokenSigner([RFC_KEY]).signatures(RFC_SIGNING_INPUT.encode())
    assert b64(signature) == RFC_SIGNATURE


def test_the_rfc_example_is_invalid_because_it_has_no_sub() -> None:
    token = f"{RFC_SIGNING_INPUT}.{RFC_SIGNATURE}"
    assert "`sub`" in invalid(token, now=1_300_819_000, signer=TokenSigner([RFC_KEY]))


# --- secrets ---------------------------------------------------------------------------------


def test_secrets_rotate() -> None:
    old, new, both = TokenSigner([OTHER]), TokenSigner([SECRET]), TokenSigner([SECRET, OTHER])
    old_token = old.mint("alice", now=NOW).token
    assert both.verify(old_token, now=NOW).sub == "alice"
    assert new.verify(both.mint("bob", now=NOW).token, now=NOW).sub == "bob"
    assert "signature" in invalid(old_token, signer=new)
    assert "signature" in invalid(both.mint("bob", now=NOW).token, signer=old)


def test_secrets_that_cannot_be_used() -> None:
    with pytest.raises(ConfigError, match="at least one secret"):
        TokenSigner([])
    with pytest.raises(ConfigError, match="secret 2 is 31 bytes long; it must be at least 32"):
        TokenSigner([SECRET, b"x" * 31])


# --- malformed tokens ------------------------------------------------------------------------


def test_every_change_of_a_character_is_detected() -> None:
    token = SIGNER.mint("alice", now=NOW, groups=["lobby"]).token
    for position, character in enumerate(token):
        for other in ("A", "B", "-", ".", "=", "+", "/", " ", "\n", "\0", "é", "\ud800"):
            if other != character:
                invalid(token[:position] + other + token[position + 1 :])
        invalid(token[:position] + token[position + 1 :])
        invalid(token[:position] + character + token[position:])


@pytest.mark.parametrize(
    ("token", "fault"),
    [
        ("", "1 parts"),
        ("a.b", "2 parts"),
        ("a.b.c.d", "4 parts"),
        ("..", "header cannot be used"),
        ("é.b.c", "character outside base64url"),
        ("a" * 6145, "6145 characters long; at most 6144"),
        ("e30=.e30.", "header is not base64url"),
        ("e31.e30.", "header is not base64url"),  # e30 is {}; e31 differs in the spare bits
        ("a.e30.", "header is not base64url"),
        ("e3+.e30.", "header is not base64url"),
        ("e3 0.e30.", "header is not base64url"),
        (header_of(b'[]'), "Expected `object`, got `array`"),
        (header_of(b'null'), "Expected `object`, got `null`"),
        (header_of(b'{'), "header cannot be used"),
        (header_of(b'{}'), "`alg`"),
        (header_of(b'[' * 3000), "header cannot be used"),
        (header_of(b'{"alg":256}'), "Expected `str`, got `int`"),
        (header_of(b'{"alg":"\xff"}'), "header cannot be used"),
        (header_of(b'{"alg":"\\ud800"}'), "header cannot be used"),
        (token_of(claims_with()).rpartition(".")[0] + ".", "signature"),
        (token_of(claims_with()) + "=", "signature is not base64url"),
    ],
)  # fmt: skip
def test_malformed_tokens(token: str, fault: str) -> None:
    assert fault in invalid(token)


@pytest.mark.parametrize(
    "alg", ["none", "None", "", "hs256", "HS256 ", "HS384", "HS512", "RS256", "ES256", "dir"]
)
def test_other_algorithms(alg: str) -> None:
    token = token_of(claims_with(), {"alg": alg})
    assert "alg is not HS256" in invalid(token)
    assert "alg is not HS256" in invalid(token.rpartition(".")[0] + ".")


@pytest.mark.parametrize("crit", [["exp"], [], None, "b64"])
def test_critical_extensions(crit: object) -> None:
    assert "crit" in invalid(token_of(claims_with(), {"alg": "HS256", "crit": crit}))


def test_other_header_parameters_are_ignored() -> None:
    header = {"alg": "HS256", "kid": "1", "typ": "at+jwt", "jwk": {"kty": "oct"}}
    assert SIGNER.verify(token_of(claims_with(), header), now=NOW).sub == "alice"


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"", "payload cannot be used"),
        (b"[]", "Expected `object`, got `array`"),
        (b'"alice"', "Expected `object`, got `str`"),
        (b"\xef\xbb\xbf{}", "payload cannot be used"),
        (b"{}", "`sub`"),
        (b'{"sub":"a","exp":NaN}', "payload cannot be used"),
        (b'{"sub":"a","exp":Infinity}', "payload cannot be used"),
        (b'{"sub":"a","exp":1e999}', "payload cannot be used"),
        (b'{"sub":"a","exp":' + b"9" * 400 + b"}", "payload cannot be used"),
        (b'{"sub":"\\ud800","exp":2e9}', "payload cannot be used"),
        (b'{"sub":"\xff","exp":2e9}', "payload cannot be used"),
        (b'{"sub":"a","exp":2e9,"x":' + b"[" * 4400, "payload cannot be used"),
        (b'{"sub":"a","exp":2e9,"groups":' + b"[" * 4400, "`$.groups[0]`"),
        ({"sub": "alice"}, "`exp`"),
        (claims_with(sub=7), "Expected `str`, got `int` - at `$.sub`"),
        (claims_with(sub=None), "Expected `str`, got `null` - at `$.sub`"),
        (claims_with(sub=""), "client ID '' is 0 bytes of UTF-8; it must be 1 to 256"),
        (claims_with(sub="é" * 129), "is 258 bytes of UTF-8; it must be 1 to 256"),
        (claims_with(exp=True), "got `bool` - at `$.exp`"),
        (claims_with(exp="2000000000"), "got `str` - at `$.exp`"),
        (claims_with(exp=None), "got `null` - at `$.exp`"),
        (claims_with(exp=-1), "exp is -1.0; it must be at least 0"),
        (claims_with(iat=-1), "iat is -1.0; it must be at least 0"),
        (claims_with(iat=False), "`$.iat`"),
        (claims_with(nbf=-0.5), "nbf is -0.5; it must be at least 0"),
        (claims_with(nbf="now"), "`$.nbf`"),
        (claims_with(jti=1), "`$.jti`"),
        (claims_with(groups="lobby"), "`$.groups`"),
        (claims_with(groups=["lobby", 1]), "`$.groups[1]`"),
        (claims_with(groups=["lobby", ""]), "group name '' is 0 bytes of UTF-8"),
        (claims_with(groups=["é" * 128, "x" * 257]), "is 257 bytes of UTF-8; it must be 1 to 256"),
        (claims_with(groups=["x"] * 129), "groups has 129 entries; at most 128"),
        (claims_with(send="group:lobby"), "`$.send`"),
        (claims_with(send=[None]), "`$.send[0]`"),
        (claims_with(pos=12), "`$.pos`"),
        (claims_with(pos=""), "is not an id; it must be"),
        (claims_with(pos="12"), "is not an id; it must be"),
        (claims_with(pos="-1-0"), "is not an id; it must be"),
        (claims_with(pos="1-0\n"), "is not an id; it must be"),
        (claims_with(pos="\u0661-\u0660"), "is not an id; it must be"),
        (claims_with(pos="01-0"), "is not an id; it must be"),
        (claims_with(pos=f"{2**64}-0"), "is not an id; it must be"),
    ],
)  # fmt: skip
def test_claims_that_cannot_be_used(payload: bytes | dict[str, Any], fault: str) -> None:
    assert fault in invalid(token_of(payload))


def test_claims_of_the_maximum_size() -> None:
    claims = claims_with(
        sub="é" * 128, groups=["é" * 128] + ["x"] * 127, pos=f"{2**64 - 1}-{2**64 - 1}", iat=None
    )
    verified = SIGNER.verify(token_of(claims), now=NOW)
    assert (verified.sub, len(verified.groups), verified.iat) == ("é" * 128, 128, None)


def test_client_id_max_bytes() -> None:
    signer = TokenSigner([SECRET], client_id_max_bytes=4)
    assert signer.verify(signer.mint("four", now=NOW).token, now=NOW).sub == "four"
    assert "is 5 bytes of UTF-8; it must be 1 to 4" in invalid(
        token_of(claims_with()), signer=signer
    )
    with pytest.raises(
        InputError, match="client ID 'alice' is 5 bytes of UTF-8; it must be 1 to 4"
    ):
        signer.mint("alice", now=NOW)


def test_the_last_of_two_claims_with_the_same_name_counts() -> None:
    payload = b'{"sub":"alice","exp":1732412400,"sub":"bob"}'
    assert SIGNER.verify(token_of(payload), now=NOW).sub == "bob"


# --- time ------------------------------------------------------------------------------------


@pytest.mark.parametrize("exp", [0, NOW - 1e6, NOW - 0.001, NOW])
@pytest.mark.parametrize("more", [{}, {"iat": 0}, {"nbf": NOW + 9}])
def test_expired(exp: float, more: dict[str, Any]) -> None:
    with pytest.raises(ExpiredTokenError, match=r"expired [0-9.e-]+ s ago") as caught:
        SIGNER.verify(token_of(claims_with(exp=exp, **more)), now=NOW)
    assert caught.value.description == "Token+timed+out."
    assert "signature" in invalid(sign(token_of(claims_with(exp=exp)).rpartition(".")[0], OTHER))


def test_just_not_expired() -> None:
    assert SIGNER.verify(token_of(claims_with(exp=NOW + 0.001)), now=NOW).exp == NOW + 0.001


def test_not_yet_valid() -> None:
    token = token_of(claims_with(nbf=NOW + 3))
    assert "not valid before 3 s from now" in invalid(token)
    assert SIGNER.verify(token, now=NOW + 3).nbf == NOW + 3


@pytest.mark.parametrize("issued_at", [NOW, int(NOW) - 30])
@pytest.mark.parametrize(
    ("lifetime_s", "good"), [(0.5, True), (59, True), (86400, True), (86401, False)]
)
def test_lifetime(issued_at: float, lifetime_s: float, good: bool) -> None:
    token = token_of(claims_with(iat=issued_at, exp=issued_at + lifetime_s))
    now = issued_at if lifetime_s < 60 else NOW
    if good:
        assert SIGNER.verify(token, now=now).iat == issued_at
    else:
        assert "lifetime (exp - iat) is 86401.0 s; it must be over 0, and at most 86400" in invalid(
            token
        )


@pytest.mark.parametrize("lifetime_s", [0, -1])
def test_a_token_that_expires_before_it_is_issued_is_invalid(lifetime_s: int) -> None:
    token = token_of(claims_with(iat=NOW + 100, exp=NOW + 100 + lifetime_s))
    assert f"is {lifetime_s}.0 s; it must be over 0" in invalid(token)


def test_lifetime_without_iat() -> None:
    for lifetime_s in (1, 86400):
        assert SIGNER.verify(token_of(claims_with(exp=NOW + lifetime_s)), now=NOW).iat is None
    assert "exp is 86401 s from now; at most 86400" in invalid(
        token_of(claims_with(exp=NOW + 86401))
    )


def test_issued_in_the_future() -> None:
    token = token_of(claims_with(iat=NOW + 301, exp=NOW + 600))
    assert "iat is 301 s in the future; at most 300" in invalid(token)
    assert SIGNER.verify(token, now=NOW + 1).iat == NOW + 301


def test_numbers_of_any_size() -> None:
    for seconds in (1e308, 1e-308, 2**53 + 1, 5e-324):
        for name in ("exp", "iat", "nbf"):
            with pytest.raises(TokenError):
                SIGNER.verify(token_of(claims_with(**{"iat": 1, name: seconds})), now=NOW)


# --- values that cannot be minted ------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"client_id": ""}, "the client ID '' is 0 bytes of UTF-8; it must be 1 to 256"),
        ({"client_id": "é" * 129}, "is 258 bytes of UTF-8; it must be 1 to 256"),
        ({"client_id": "\ud800"}, "has half of a surrogate pair at character 0; send UTF-8"),
        ({"minutes": 0}, "duration_minutes is 0; it must be 1 to 1440"),
        ({"minutes": 1441}, "duration_minutes is 1441; it must be 1 to 1440"),
        ({"minutes": float("nan")}, "duration_minutes is nan; it must be 1 to 1440"),
        ({"groups": [""]}, "the group name '' is 0 bytes of UTF-8; it must be 1 to 256"),
        ({"groups": ["x", "\udfff"]}, "the group name '\\udfff' has half of a surrogate pair"),
        ({"groups": ["x" * 257]}, "is 257 bytes of UTF-8; it must be 1 to 256"),
        ({"groups": ["x"] * 129}, "groups has 129 entries; at most 128 are allowed"),
        ({"send": [""]}, "the grant '' is 0 bytes of UTF-8"),
        ({"send": ["group:a", "lobby"]}, "the grant 'lobby' matches nothing"),
        ({"send": ["group:a"] * 129}, "send has 129 entries; at most 128 are allowed"),
        ({"pos": "now"}, "'now' is not an id; it must be \"<ms>-<seq>\""),
    ],
)
def test_minting_refuses_values_that_cannot_be_used(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        SIGNER.mint(**{"client_id": "alice", "now": NOW, **arguments})
    assert text in str(caught.value)
    str(caught.value).encode()


def test_minting_refuses_a_token_that_verifying_would_refuse() -> None:
    with pytest.raises(InputError, match=r"would be \d+ bytes long; at most 6144 .* fewer"):
        SIGNER.mint("alice", now=NOW, groups=[f"{number:0>256}" for number in range(20)])


# --- without verification --------------------------------------------------------------------


def test_decoding_without_verification_gives_the_claims_of_any_signer_at_any_time() -> None:
    minted = TokenSigner([OTHER]).mint("alice", now=0, groups=["lobby"], pos="1-0").token
    claims = decode_unverified(minted)
    assert claims is not None
    assert (claims.sub, claims.exp, claims.groups, claims.pos) == ("alice", 7200, ("lobby",), "1-0")
    assert decode_unverified(token_of({"sub": "", "exp": -1})) == Claims("", -1)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "alice",
        "..",
        "a" * 6145,
        "\ud800.b.c",
        header_of(b"{}"),
        token_of(claims_with(), {"alg": "none"}),
        token_of(claims_with(), {"alg": "HS512"}),
        token_of(claims_with()).rpartition(".")[0] + ".",
        token_of(claims_with()) + "A",
        token_of(b"[]"),
        token_of(b'{"sub":"a"}'),
        token_of(b'{"sub":"a","exp":2e9,"x":' + b"[" * 4400),
    ],
)
def test_text_that_is_not_a_token_has_no_claims(token: str) -> None:
    assert decode_unverified(token) is None


# --- any input -------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
claim_names = st.sampled_from(["sub", "exp", "iat", "nbf", "jti", "groups", "send", "pos", "x"])
payloads = st.dictionaries(claim_names, json_values).map(lambda value: json.dumps(value).encode())


def only_token_errors(token: str) -> None:
    """`verify` raises only TokenError, and returns only usable claims."""
    try:
        claims = SIGNER.verify(token, now=NOW)
    except TokenError:
        return
    assert claims.sub
    assert claims.exp > NOW


@given(st.text() | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*"))
def test_any_text(token: str) -> None:
    only_token_errors(token)
    decode_unverified(token)


@given(st.binary() | payloads, st.just(b'{"alg":"HS256"}') | st.binary())
def test_any_payload_and_header(payload: bytes, header: bytes) -> None:
    token = token_of(payload, header)
    only_token_errors(token)
    decode_unverified(token)


@given(
    client_id=st.text(min_size=1, max_size=64),
    now=st.floats(min_value=0, max_value=1e11),
    minutes=st.integers(limits.TOKEN_MIN_MINUTES, limits.TOKEN_MAX_MINUTES),
    groups=st.lists(st.text(min_size=1, max_size=8), max_size=8),
)
def test_minted_then_verified(client_id: str, now: float, minutes: int, groups: list[str]) -> None:
    minted = SIGNER.mint(client_id, now=now, minutes=minutes, groups=groups)
    claims = SIGNER.verify(minted.token, now=now)
    assert (claims.sub, claims.groups) == (client_id, tuple(groups))
    with pytest.raises(ExpiredTokenError):
        SIGNER.verify(minted.token, now=minted.expires_at)
