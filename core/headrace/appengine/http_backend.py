"""A server in another process, over HTTP."""

import time

from headrace.appengine.backend import is_signed
from headrace.auth.tokens import TokenSigner
from headrace.client import Client


class HttpBackend:
    """A `Backend` that uses a server through `client`.

    With `secret`, the server's secret, tokens are recognised by their signature. Without it they
    are recognised by their format, and a client ID that is a JWT is mistaken for a token.
    """

    def __init__(self, client: Client, secret: str | bytes | None = None) -> None:
        """Raise ConfigError for a secret that is too short."""
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
