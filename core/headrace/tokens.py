"""Tokens: mint and verify the JWT (RFC 7519) that lets one client listen to its channel.

Compact serialisation (RFC 7515 section 3.1), `alg` `HS256` and nothing else (RFC 7518 section
3.2), so any language's JWT library can be the other side. Time is an argument, in seconds since
the epoch. `verify` takes these steps, and the first that fails decides the fault:

    size, three parts, base64url → header → signature → claims' types → exp → nbf → lifetime
                                                                   4002 ^     (all others 4001)
"""

import base64
import binascii
from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives import constant_time, hashes, hmac

from headrace import limits
from headrace.errors import ConfigError, ExpiredTokenError, InvalidTokenError, RequestError
from headrace.position import parse_position


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a token says; claims that are not named here (`iss`, `aud`, …) are ignored.

    `exp`, `iat` and `nbf` are seconds since the epoch (NumericDate, RFC 7519 section 2), `groups`
    the groups the client joins, `send` what it may send to by itself, and `pos` the id
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


class MintedToken(msgspec.Struct, frozen=True):
    """A new token and the moment it expires, in seconds since the epoch."""

    token: str
    expires_at: float


class TokenSigner:
    """Mints tokens with the first secret and verifies them with all (so secrets can be rotated).

    `secrets` are the keys' bytes, at least 32 each; none or a shorter one raises ConfigError.
    `client_id_max_bytes` bounds `sub`, as UTF-8.
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
        # Copying a keyed HMAC costs less than half of keying a new one.
        self._keyed = tuple(hmac.HMAC(secret, hashes.SHA256()) for secret in secrets)
        self._client_id_max_bytes = client_id_max_bytes

    def signatures(self, signing_input: bytes) -> list[bytes]:
        """Return each secret's HMAC SHA-256 of a token's first two parts, the first secret's first.

        The signing input is RFC 7515 section 5.1's: base64url header, a dot, base64url payload.
        """
        return [_hmac(keyed, signing_input) for keyed in self._keyed]

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
        """Return a token for `client_id` that lasts for 1 to 1440 `minutes` from `now` on.

        Raises RequestError (400) that names the field, its value and the limit.
        """
        if not limits.TOKEN_MIN_MINUTES <= minutes <= limits.TOKEN_MAX_MINUTES:
            raise RequestError(
                400,
                f"duration_minutes is {minutes}; it must be {limits.TOKEN_MIN_MINUTES}"
                f" to {limits.TOKEN_MAX_MINUTES}",
            )
        fault = (
            _name_fault("client_id", client_id, self._client_id_max_bytes)
            or _names_fault("groups", groups, limits.GROUP_NAME_MAX_BYTES)
            or _names_fault("send", send, limits.TOKEN_MAX_BYTES)
            or _pos_fault(pos)
        )
        if fault:
            raise RequestError(400, fault)
        # Milliseconds, so that a token minted right after a revocation is told from one before it.
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
        token = b"%b.%b" % (signing_input, _encode_part(_hmac(self._keyed[0], signing_input)))
        if len(token) > limits.TOKEN_MAX_BYTES:
            raise RequestError(
                400,
                f"the token would be {len(token)} bytes long; at most {limits.TOKEN_MAX_BYTES} are"
                " accepted: give it fewer or shorter groups and send targets",
            )
        return MintedToken(token.decode(), claims.exp)

    def verify(self, token: str, *, now: float) -> Claims:
        """Return the claims of a token that opens a channel at `now`.

        Raises ExpiredTokenError when `exp <= now`, InvalidTokenError for every other fault. The
        text says which, and never holds any of the token's own.
        """
        signing_input, header_part, payload_part, signature_part = _split(token)
        _check_header(_decode_part("header", header_part))
        signature = _decode_part("signature", signature_part)
        # Every secret is tried to the end: the time taken says nothing about which one matched.
        matched = False
        for expected in self.signatures(signing_input):
            matched |= constant_time.bytes_eq(signature, expected)
        if not matched:
            raise InvalidTokenError("the token's signature is by none of this server's secrets")
        payload = _decode_part("payload", payload_part)
        try:
            claims = _decode_claims(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidTokenError(f"the token's payload cannot be used: {error}") from None
        self._check_claims(claims)
        _check_time(claims, now)
        return claims

    def _check_claims(self, claims: Claims) -> None:
        """Raise InvalidTokenError for a claim that has the right type but cannot be."""
        fault = (
            _name_fault("sub", claims.sub, self._client_id_max_bytes)
            or _names_fault("groups", claims.groups, limits.GROUP_NAME_MAX_BYTES)
            or _pos_fault(claims.pos)
        )
        if fault:
            raise InvalidTokenError(f"in the token, {fault}")
        for name in ("exp", "iat", "nbf"):
            seconds = getattr(claims, name)
            if seconds is not None and seconds < 0:
                raise InvalidTokenError(f"in the token, {name} is {seconds}; it must be at least 0")


class _Header(msgspec.Struct):
    """The JOSE header (RFC 7515 section 4), as far as it decides anything."""

    alg: str
    crit: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode_claims = msgspec.json.Decoder(Claims).decode
_decode_header = msgspec.json.Decoder(_Header).decode
_MIN_S = limits.TOKEN_MIN_MINUTES * 60
_MAX_S = limits.TOKEN_MAX_MINUTES * 60


def _hmac(keyed: hmac.HMAC, data: bytes) -> bytes:
    context = keyed.copy()
    context.update(data)
    return context.finalize()


def _encode_part(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


_HEADER = _encode_part(b'{"alg":"HS256","typ":"JWT"}')


def _split(token: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the signing input, then the three parts still in base64url."""
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
    """Decode base64url strictly: no padding, nothing outside the alphabet, no spare bits set.

    Python's decoder skips what it does not know, and RFC 4648 section 3.5 lets trailing bits be
    anything; encoding the result again shows both, so that a token has one spelling only.
    """
    try:
        decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        decoded = b""
    if _encode_part(decoded) != part:
        raise InvalidTokenError(f"the token's {name} is not base64url without padding")
    return decoded


def _check_header(octets: bytes) -> None:
    try:
        header = _decode_header(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTokenError(f"the token's header cannot be used: {error}") from None
    if header.alg != "HS256":
        raise InvalidTokenError("the token's alg is not HS256, the only one accepted")
    # RFC 7515 section 4.1.11: an extension that is not understood makes the token invalid.
    if header.crit is not msgspec.UNSET:
        raise InvalidTokenError("the token's header has crit, but no extension is supported")


def _check_time(claims: Claims, now: float) -> None:
    """Raise ExpiredTokenError, or InvalidTokenError for a lifetime outside 1 to 1440 minutes."""
    if claims.exp <= now:
        raise ExpiredTokenError(f"the token expired {now - claims.exp:.10g} s ago")
    if claims.nbf is not None and claims.nbf > now:
        raise InvalidTokenError(f"the token is not valid before {claims.nbf - now:.10g} s from now")
    if claims.iat is None:
        # What is left is all that can be known of the lifetime.
        if claims.exp - now > _MAX_S:
            raise InvalidTokenError(
                f"the token's exp is {claims.exp - now:.10g} s from now; at most {_MAX_S} are"
                " allowed"
            )
        return
    # To the millisecond, as `mint` writes it: a float near the epoch's seconds has spare digits.
    lifetime_s = round(claims.exp - claims.iat, 3)
    if not _MIN_S <= lifetime_s <= _MAX_S:
        raise InvalidTokenError(
            f"the token's lifetime (exp - iat) is {lifetime_s} s; it must be {_MIN_S} to {_MAX_S}"
        )
    # Otherwise an iat in the future would buy any lifetime.
    if claims.iat - now > limits.TOKEN_CLOCK_SKEW_S:
        raise InvalidTokenError(
            f"the token's iat is {claims.iat - now:.10g} s in the future; at most"
            f" {limits.TOKEN_CLOCK_SKEW_S} are taken for a clock that is ahead"
        )


def _name_fault(field: str, name: str, max_bytes: int) -> str | None:
    """Say why a client ID, a group's name or a send target cannot be one, or None."""
    if not name:
        return f"{field} is empty"
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        return f"{field} has a lone surrogate, so it is not Unicode text"
    if size_bytes > max_bytes:
        return f"{field} is {size_bytes} bytes of UTF-8; at most {max_bytes} are allowed"
    return None


def _names_fault(field: str, names: Sequence[str], max_bytes: int) -> str | None:
    if len(names) > limits.GROUPS_MAX_COUNT:
        return f"{field} has {len(names)} entries; at most {limits.GROUPS_MAX_COUNT} are allowed"
    for index, name in enumerate(names):
        if fault := _name_fault(f"{field}[{index}]", name, max_bytes):
            return fault
    return None


def _pos_fault(pos: str | None) -> str | None:
    if pos is not None:
        try:
            parse_position(pos)
        except RequestError:
            return 'pos is not an id of the form "<ms>-<seq>"'
    return None
