"""Distinguish tokens from client IDs by their format.

`send_message` takes either. A client ID may be any string, also a JWT from the application, so the
signature decides where it can be verified; see `Backend.recognises`.
"""

from headrace.auth.tokens import decode_unverified


def client_id_in(text: str) -> str | None:
    """Return the client ID in a text that has a token's format, verified or not, else None."""
    claims = decode_unverified(text)
    return claims.sub or None if claims is not None else None
