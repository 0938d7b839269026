"""What `headrace.appengine.channel` requires of a server, in this process or over HTTP."""

from typing import Protocol

from headrace.auth.tokens import TokenSigner
from headrace.errors import ExpiredTokenError, InvalidTokenError


class Backend(Protocol):
    """Executes calls with arguments that were checked; may be used from any thread.

    `create_channel` and `send` raise InputError, TooLargeError or RequestError if the server
    rejects an argument, another HeadraceError if it cannot execute the call, and UnreachableError
    if there is no server.
    """

    def create_channel(self, client_id: str, minutes: int) -> str:
        """Return a token for `client_id` that is valid for 1 to 1440 `minutes`."""

    def send(self, client_id: str, message: str) -> None:
        """Send `message` to `client_id`."""

    def recognises(self, token: str) -> bool:
        """Return True if a text in the format of a token is one of the server's, expired or not."""


def is_signed(signer: TokenSigner, token: str, now: float) -> bool:
    """Return True if `token` is one of the signer's, expired or not; `now` is the Unix time."""
    try:
        signer.verify(token, now=now)
    except ExpiredTokenError:
        return True
    except InvalidTokenError:
        return False
    return True
