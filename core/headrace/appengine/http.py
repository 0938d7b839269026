"""A server by HTTP, for applications in processes of their own."""

import time

from headrace.appengine.backend import is_signed
from headrace.client import Client
from headrace.tokens import TokenSigner


class HttpBackend:
    """A `Backend` that asks a server through `client`.

    With a `secret`, which is the server's, tokens are recognised by their signature. Without, by
    their form: then a client ID that is a JWT cannot be told from a token.
    """

    def __init__(self, client: Client, secret: str | bytes | None = None) -> None:
        """ConfigError for a secret that is too short."""
        self._client = client
        self._signer: TokenSigner | None = None
        if secret is not None:
            self._signer = TokenSigner([secret.encode() if isinstance(secret, str) else secret])

    def create_channel(self, client_id: str, minutes: int) -> str:
        """See `Backend`."""
        return self._client.create_channel(client_id, duration_minutes=minutes).token

    def send(self, client_id: str, message: str) -> None:
        """See `Backend`."""
        self._client.send(message, to=client_id)

    def recognises(self, token: str) -> bool:
        """See `Backend`."""
        return self._signer is None or is_signed(self._signer, token, time.time())

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()
