"""Tokens and a backend for the tests of `headrace.appengine`."""

from typing import Any

import jwt

from headrace.appengine.backend import is_signed
from headrace.auth.tokens import TokenSigner

SECRET = "a secret of the tests, 32 bytes+"
NOW = 1_732_412_345.0


def mint(client_id: str, secret: str = SECRET, **claims: Any) -> str:
    return jwt.encode({"sub": client_id, "exp": NOW, **claims}, secret)


class MemoryBackend:
    """A `Backend` that records calls, or raises `error`; it recognises tokens of `SECRET`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.created: list[tuple[str, int]] = []
        self.sent: list[tuple[str, str]] = []
        self._signer = TokenSigner([SECRET.encode()])

    def create_channel(self, client_id: str, minutes: int) -> str:
        self._fail()
        self.created.append((client_id, minutes))
        return f"token of {client_id}"

    def send(self, client_id: str, message: str) -> None:
        self._fail()
        self.sent.append((client_id, message))

    def recognises(self, token: str) -> bool:
        return is_signed(self._signer, token, NOW)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error
