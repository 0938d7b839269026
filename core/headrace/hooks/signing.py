"""Signatures of outgoing requests, as the Standard Webhooks specification defines them.

The key is a secret's bytes. A library that takes the key as text expects those bytes in base64,
after the prefix `whsec_`.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterable


class Signer:
    """Signs with every secret, in their order, so that secrets can be rotated."""

    __slots__ = ("_keys",)

    def __init__(self, secrets: Iterable[str]) -> None:
        self._keys = [secret.encode() for secret in secrets]

    def headers(self, webhook_id: str, unix: float, body: bytes) -> dict[str, str]:
        """Return the headers of an attempt made at `unix`, in seconds since the epoch.

        `webhook_id` is the same for each attempt, so that the application can drop duplicates.
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
