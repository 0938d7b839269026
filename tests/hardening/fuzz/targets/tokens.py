"""`TokenSigner.verify` and `decode_unverified`, and PyJWT as the second implementation.

An input is used three times: as a token; as the claims of a token with a valid signature; and,
split at its first newline, as header and claims of one.
"""

import base64
import hashlib
import hmac
import json

import jwt
import msgspec
from hypothesis import strategies as st
from jwt.types import Options
from tests.hardening.fuzz.target import Target

from headrace import limits
from headrace.auth.tokens import TokenSigner, decode_unverified
from headrace.errors import TokenError
from headrace.messages.position import parse_position

SECRET = b"a secret of the fuzz tests, 32 B+"
NOW = 1_732_412_345.0
SIGNER = TokenSigner([b"another secret that is rotated out.", SECRET])

_SHOWN_CHARACTERS = 16

_SIGNATURE_ONLY: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_jti": False,
    "verify_sub": False,
}


def part(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: bytes, claims: bytes) -> str:
    """Return a token with a valid signature."""
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.digest(SECRET, text.encode(), hashlib.sha256))}"


def check(data: bytes) -> None:
    check_token(data.decode("latin-1"))
    check_token(data.decode(errors="replace"))
    check_token(signed(b'{"alg":"HS256","typ":"JWT"}', data))
    header, _, claims = data.partition(b"\n")
    check_token(signed(header, claims))


def check_token(token: str) -> None:
    unverified = decode_unverified(token)
    try:
        claims = SIGNER.verify(token, now=NOW)
    except TokenError as error:
        check_fault(error, token)
        return
    assert claims.key_id in SIGNER.key_ids
    assert unverified is not None
    assert msgspec.structs.replace(unverified, key_id=claims.key_id) == claims
    assert 1 <= len(claims.sub.encode()) <= 256
    assert NOW < claims.exp <= NOW + limits.TOKEN_MAX_MINUTES * 60 + 300
    assert claims.nbf is None or claims.nbf <= NOW
    assert len(claims.groups) <= limits.GROUPS_MAX_COUNT
    assert all(1 <= len(name.encode()) <= limits.GROUP_NAME_MAX_BYTES for name in claims.groups)
    if claims.pos is not None:
        assert str(parse_position(claims.pos)) == claims.pos
    check_peer(token, claims.sub, claims.exp)


def check_fault(error: TokenError, token: str) -> None:
    """Check that the error's text holds no long part of the token."""
    for piece in token.split("."):
        assert len(piece) < _SHOWN_CHARACTERS or piece not in str(error)


def check_peer(token: str, client_id: str, exp: float) -> None:
    """Check that PyJWT accepts the signature and reads the same claims."""
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], options=_SIGNATURE_ONLY)
    except jwt.DecodeError as error:
        # Python's decoder refuses some JSON in claims and parameters that are ignored here.
        if "Invalid payload" not in str(error) and "header" not in str(error):
            raise
        return
    assert claims["sub"] == client_id
    assert claims["exp"] == exp


# --- inputs --------------------------------------------------------------------------------------

HEADERS = st.sampled_from(
    [
        *('{"alg":"HS256"}', '{"alg":"none"}', '{"alg":"HS512"}', '{"alg":1}', "[]", "{}"),
        *(
            '{"alg":"HS256","crit":["x"]}',
            '{"alg":"HS256","crit":null}',
            '{"alg":"none","alg":"HS256"}',
        ),
    ]
)
TIMES = st.one_of(
    st.sampled_from([NOW, NOW + 60, NOW + 86400, NOW + 86401, 0, -1, 1e300, 2**63, 1.5]),
    st.floats(NOW - 90_000, NOW + 90_000),
    st.none(),
)
NAMES = st.lists(
    st.text(max_size=5) | st.sampled_from(["group:a", "client:*", "x" * 257]), max_size=3
)
CLAIMS = st.fixed_dictionaries(
    {"sub": st.text(max_size=8) | st.sampled_from(["alice", "x" * 257, 1]), "exp": TIMES},
    optional={
        "iat": TIMES,
        "nbf": TIMES,
        "jti": st.text(max_size=3) | st.integers(),
        "groups": NAMES | st.just(["g"] * 129),
        "send": NAMES,
        "pos": st.sampled_from(["1-0", "0-0", "1", "-", "18446744073709551616-0", "01-0"]),
        "other": st.recursive(st.none() | st.booleans(), st.lists, max_leaves=4),
    },
)
TOKENS = st.builds(
    lambda header, claims: signed(header.encode(), json.dumps(claims).encode()), HEADERS, CLAIMS
)
JSON_CLAIMS = CLAIMS.map(json.dumps)

TARGET = Target(
    "tokens",
    check,
    st.one_of(
        TOKENS.map(str.encode),
        JSON_CLAIMS.map(str.encode),
        st.tuples(HEADERS, JSON_CLAIMS).map("\n".join).map(str.encode),
    ),
    (
        b'"sub":"alice"',
        b'"exp":1732412400',
        b'"alg":"HS256"',
        b'"groups":["a"]',
        b'"pos":"1-0"',
        b"1e400",
        b"NaN",
        b".",
        b"=",
    ),
)
