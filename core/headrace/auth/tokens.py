"""Mint and verify tokens: the JWT (RFC 7519) that lets one client open its channel.

Tokens use the compact serialisation (RFC 7515 section 3.1) and `HS256` (RFC 7518 section 3.2), so
that any JWT library can mint them; no other `alg` is accepted. Time is an argument, in seconds
since the epoch. `verify` checks in this order, and the first failure decides the error:

    size, three parts, base64url → header → signature → claims' types → exp → nbf → lifetime
                                                                   4002 ^     (all others 4001)
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives import constant_time, hashes, hmac

from headrace import limits
from headrace.auth.grants import check_grant
from headrace.errors import ConfigError, ExpiredTokenError, InputError, InvalidTokenError
from headrace.messages.position import parse_position
from headrace.messages.validation import check_client_id, check_group

CLOCK_SKEW_S = 300
"""How far in the future `iat` may be, for an issuer whose clock is ahead of ours."""


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """The claims of a token; others (`iss`, `aud`, …) are ignored.

    `sub` is the client ID. `exp`, `iat` and `nbf` are seconds since the epoch (NumericDate, RFC
    7519 section 2). `groups` are the groups the client joins, `send` its grants, and `pos` the id
    `"<ms>-<seq>"` after which its first connection starts.
    """

    sub: str
    exp: float
    iat: float | None = None
    nbf: float | None = None
    jti: str | None = None
    groups: tuple[str, ...] = ()
    send: tuple[str, ...] = ()
    pos: str | None = None
    key_id: str = msgspec.field(default="", name="(key_id)")  # no claim has this name
    """Identifies the secret that signed the token, see `TokenSigner.key_ids`; set by `verify`."""


class MintedToken(msgspec.Struct, frozen=True):
    """A new token and its expiry, in seconds since the epoch."""

    token: str
    expires_at: float


class TokenSigner:
    """Mints tokens with the first secret and verifies them with all, so that secrets can rotate.

    `secrets` are the keys, at least 32 bytes each; ConfigError if there is none or one is shorter.
    `client_id_max_bytes` limits the client ID, as UTF-8.
    """

    def __init__(self, secrets: Sequence[bytes], *, client_id_max_bytes: int = 256) -> None:
        if not secrets:
            raise ConfigError("tokens need at least one secret: `headrace keygen` makes one")
        for number, secret in enumerate(secrets, start=1):
            if len(secret) < limits.SECRET_MIN_BYTES:
                raise ConfigError(
                    f"secret {number} is {len(secret)} bytes long; it must be at least"
                    f" {limits.SECRET_MIN_BYTES}: `headrace keygen` makes one"
                )
        # Copying an initialised HMAC costs less than half of initialising a new one.
        self._hmacs = tuple(hmac.HMAC(secret, hashes.SHA256()) for secret in secrets)
        self.key_ids = tuple(hashlib.sha256(secret).hexdigest()[:16] for secret in secrets)
        """Identify the secrets without revealing them, in the order of the secrets."""
        self._client_id_max_bytes = client_id_max_bytes

    def signatures(self, signing_input: bytes) -> list[bytes]:
        """Return the HMAC SHA-256 of `signing_input` with each secret, in the order of the secrets.

        The signing input is the header and payload in base64url, with a dot between them (RFC 7515
        section 5.1).
        """
        return [_digest(initialised, signing_input) for initialised in self._hmacs]

    def mint(
        self,
        client_id: str,
        *,
        now: float,
        minutes: float = limits.TOKEN_DEFAULT_MINUTES,
        groups: Sequence[str] = (),
        send: Sequence[str] = (),
        pos: str | None = None,
    ) -> MintedToken:
        """Return a token for `client_id` that is valid for `minutes` (1 to 1440) from `now`.

        Raise InputError if a value cannot be used, or if the token would be too long.
        """
        if not limits.TOKEN_MIN_MINUTES <= minutes <= limits.TOKEN_MAX_MINUTES:
            raise InputError(
                f"duration_minutes is {minutes}; it must be {limits.TOKEN_MIN_MINUTES}"
                f" to {limits.TOKEN_MAX_MINUTES}",
            )
        self._check_values(client_id, groups, pos)
        _check_count("send", send)
        for grant in send:
            check_grant(grant)
        # In milliseconds, so that a token minted just after a `leave` counts as newer.
        issued_at = round(now, 3)
        claims = Claims(
            client_id,
            issued_at + minutes * 60,
            issued_at,
            groups=tuple(groups),
            send=tuple(send),
            pos=pos,
        )
        signing_input = b"%b.%b" % (_HEADER, _encode_part(msgspec.json.encode(claims)))
        token = b"%b.%b" % (signing_input, _encode_part(_digest(self._hmacs[0], signing_input)))
        if len(token) > limits.TOKEN_MAX_BYTES:
            raise InputError(
                f"the token would be {len(token)} bytes long; at most {limits.TOKEN_MAX_BYTES} are"
                " accepted: use fewer or shorter groups and grants",
            )
        return MintedToken(token.decode(), claims.exp)

    def verify(self, token: str, *, now: float) -> Claims:
        """Return the claims of a token that is valid at `now`.

        Raise ExpiredTokenError if `exp <= now`, InvalidTokenError for every other fault. The text
        names the fault and never holds the token itself.
        """
        signing_input, header_part, payload_part, signature_part = _split(token)
        _check_header(_decode_part("header", header_part))
        signature = _decode_part("signature", signature_part)
        # Compare with every secret, so that the time taken does not depend on which one matches.
        key_id = ""
        for expected, candidate in zip(self.signatures(signing_input), self.key_ids, strict=True):
            if constant_time.bytes_eq(signature, expected):
                key_id = candidate
        if not key_id:
            raise InvalidTokenError("the token's signature matches none of this server's secrets")
        claims = _decode_payload(payload_part)
        try:
            self._check_values(claims.sub, claims.groups, claims.pos)
        except InputError as error:
            raise InvalidTokenError(f"in the token, {error}") from None
        _check_time(claims, now)
        msgspec.structs.force_setattr(claims, "key_id", key_id)
        return claims

    def _check_values(self, client_id: str, groups: Sequence[str], pos: str | None) -> None:
        """Raise InputError if a value in a token cannot be used."""
        check_client_id(client_id, self._client_id_max_bytes)
        _check_count("groups", groups)
        for group in groups:
            check_group(group)
        if pos is not None:
            parse_position(pos)


def decode_unverified(token: str) -> Claims | None:
    """Return the claims of a token without checking its signature, its values or its lifetime.

    Return None if it is not an HS256 token. Nothing may be allowed because of these claims.
    """
    try:
        _, header_part, payload_part, signature_part = _split(token)
        _check_header(_decode_part("header", header_part))
        if len(_decode_part("signature", signature_part)) != hashes.SHA256.digest_size:
            return None
        return _decode_payload(payload_part)
    except InvalidTokenError:
        return None


class _Header(msgspec.Struct):
    """The parameters of the JOSE header (RFC 7515 section 4) that matter here."""

    alg: str
    crit: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode_claims = msgspec.json.Decoder(Claims).decode
_decode_header = msgspec.json.Decoder(_Header).decode
_MAX_S = limits.TOKEN_MAX_MINUTES * 60


def _digest(initialised: hmac.HMAC, data: bytes) -> bytes:
    context = initialised.copy()
    context.update(data)
    return context.finalize()


def _encode_part(data: bytes) -> bytes:
    """Encode as base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


_HEADER = _encode_part(b'{"alg":"HS256","typ":"JWT"}')


def _split(token: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the signing input and the three parts, still in base64url."""
    if len(token) > limits.TOKEN_MAX_BYTES:
        raise InvalidTokenError(
            f"the token is {len(token)} characters long; at most {limits.TOKEN_MAX_BYTES} are"
            " accepted"
        )
    try:
        octets = token.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidTokenError("the token has a character outside base64url and '.'") from None
    parts = octets.split(b".")
    if len(parts) != 3:
        raise InvalidTokenError(
            f"the token has {len(parts)} parts; a compact JWT has three, separated by '.'"
        )
    return octets[: octets.rindex(b".")], parts[0], parts[1], parts[2]


def _decode_part(name: str, part: bytes) -> bytes:
    """Decode base64url strictly: no padding, no other characters, no unused bits set.

    Python's decoder skips unknown characters and ignores the unused bits (RFC 4648 section 3.5).
    Encoding the result again detects both, so that each token has exactly one form.
    """
    try:
        decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        decoded = b""
    if _encode_part(decoded) != part:
        raise InvalidTokenError(f"the token's {name} is not base64url without padding")
    return decoded


def _decode_payload(part: bytes) -> Claims:
    payload = _decode_part("payload", part)
    try:
        return _decode_claims(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTokenError(f"the token's payload cannot be used: {error}") from None


def _check_header(octets: bytes) -> None:
    try:
        header = _decode_header(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTokenError(f"the token's header cannot be used: {error}") from None
    if header.alg != "HS256":
        raise InvalidTokenError("the token's alg is not HS256, the only one accepted")
    # RFC 7515 section 4.1.11: a token with an extension that is not supported is invalid.
    if header.crit is not msgspec.UNSET:
        raise InvalidTokenError("the token's header has crit, but no extension is supported")


def _check_count(claim: str, values: Sequence[str]) -> None:
    if len(values) > limits.GROUPS_MAX_COUNT:
        raise InputError(
            f"{claim} has {len(values)} entries; at most {limits.GROUPS_MAX_COUNT} are allowed"
        )


def _check_time(claims: Claims, now: float) -> None:
    """Raise ExpiredTokenError, or InvalidTokenError for times or a lifetime out of range."""
    for name in ("exp", "iat", "nbf"):
        seconds = getattr(claims, name)
        if seconds is not None and seconds < 0:
            raise InvalidTokenError(f"in the token, {name} is {seconds}; it must be at least 0")
    if claims.exp <= now:
        raise ExpiredTokenError(f"the token expired {now - claims.exp:.10g} s ago")
    if claims.nbf is not None and claims.nbf > now:
        raise InvalidTokenError(f"the token is not valid before {claims.nbf - now:.10g} s from now")
    if claims.iat is None:
        # Only the remaining lifetime is known.
        if claims.exp - now > _MAX_S:
            raise InvalidTokenError(
                f"the token's exp is {claims.exp - now:.10g} s from now; at most {_MAX_S} are"
                " allowed"
            )
        return
    # To the millisecond, as `mint` writes it: the difference of two floats has a rounding error.
    lifetime_s = round(claims.exp - claims.iat, 3)
    if claims.exp <= claims.iat or lifetime_s > _MAX_S:
        raise InvalidTokenError(
            f"the token's lifetime (exp - iat) is {lifetime_s} s; it must be over 0, and at most"
            f" {_MAX_S}"
        )
    # Otherwise a token with iat in the future could be valid for any time.
    if claims.iat - now > CLOCK_SKEW_S:
        raise InvalidTokenError(
            f"the token's iat is {claims.iat - now:.10g} s in the future; at most"
            f" {CLOCK_SKEW_S} are allowed for clock skew"
        )
