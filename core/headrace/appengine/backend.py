"""What `headrace.appengine.channel` needs of a server, however it is reached."""

from typing import Protocol

from headrace.errors import ExpiredTokenError, InvalidTokenError
from headrace.tokens import TokenSigner


class Backend(Protocol):
    """What carries out calls whose arguments have been checked; any thread may use it.

    `create_channel` and `send` raise RequestError where the server refuses, and UnreachableError
    where there is none.
    """

    def create_channel(self, client_id: str, minutes: int) -> str:
        """Return a token for `client_id` that lasts for 1 to 1440 `minutes`."""

    def send(self, client_id: str, message: str) -> None:
        """Send `message` to `client_id`."""

    def recognises(self, token: str) -> bool:
        """Tell whether a text with a token's form is a token of the server's, expired or not."""


def is_signed(signer: TokenSigner, token: str, now: float) -> bool:
    """Tell whether `token` is one of the signer's, expired or not; `now` is the Unix time."""
    try:
        signer.verify(token, now=now)
    except ExpiredTokenError:
        return True
    except InvalidTokenError:
        return False
    return True
