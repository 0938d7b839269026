"""Standard Webhooks (specification, section "Verifying webhook authenticity").

The key is a secret's bytes; a receiver's library that wants it as text takes `whsec_` and those
bytes in base64.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterable


class Signer:
    """Signs with every secret, the first one first, so that secrets can be rotated."""

    __slots__ = ("_keys",)

    def __init__(self, secrets: Iterable[str]) -> None:
        self._keys = [secret.encode() for secret in secrets]

    def headers(self, webhook_id: str, unix: float, body: bytes) -> dict[str, str]:
        """Return the headers of an attempt made at `unix` (seconds since the epoch).

        `webhook_id` is the same at each attempt, so that the application can drop what it has.
        """
        timestamp = str(int(unix))
        signed = f"{webhook_id}.{timestamp}.".encode() + body
        signatures = [
            f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in self._keys
        ]
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(signatures),
        }
