"""Tell a token from a client ID by its form.

`send_message` takes either. A client ID may be any string, a JWT of the application's own among
them, so the form decides nothing where the signature can be checked; see `Backend.recognises`.
"""

import base64
import re

import msgspec

from headrace import limits
from headrace.tokens import Claims

# Header, payload, and the 32 bytes of an HMAC SHA-256, in base64url without padding.
_FORM = re.compile(r"([\w-]+)\.([\w-]+)\.[\w-]{43}", re.ASCII)


class _Header(msgspec.Struct):
    alg: str


_decode_header = msgspec.json.Decoder(_Header).decode
_decode_claims = msgspec.json.Decoder(Claims).decode


def client_id_in(text: str) -> str | None:
    """Return the client ID in a text that has a token's form, signed or not; else None."""
    if len(text) > limits.TOKEN_MAX_BYTES:
        return None
    matched = _FORM.fullmatch(text)
    if matched is None:
        return None
    try:
        header, payload = (
            base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in matched.groups()
        )
        if _decode_header(header).alg != "HS256":
            return None
        return _decode_claims(payload).sub or None
    except (ValueError, RecursionError):  # what base64, UTF-8 and JSON raise
        return None
