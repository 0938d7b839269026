"""Which tokens were revoked: those of a client that were issued up to a moment.

A token without `iat` cannot show that it is newer, and counts as older. What is remembered for
longer than a token can last is forgotten.
"""

from collections import OrderedDict

from headrace import limits
from headrace.errors import RevokedTokenError
from headrace.tokens import Claims

_REMEMBERED_S = limits.TOKEN_MAX_MINUTES * 60


class Revocations:
    """The moment (Unix time) up to which each client's tokens are revoked."""

    __slots__ = ("_moments",)

    def __init__(self) -> None:
        self._moments: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._moments)

    def revoke(self, client_id: str, at: float) -> None:
        """Revoke what was issued to the client up to `at`."""
        self._moments.pop(client_id, None)  # so that the order stays that of the moments
        self._moments[client_id] = at

    def moments(self) -> dict[str, float]:
        """Return the moment of each client that has one, the oldest first."""
        return dict(self._moments)

    def check(self, claims: Claims) -> None:
        """Raise RevokedTokenError where the claims are from a revoked token."""
        at = self._moments.get(claims.sub)
        if at is not None and (claims.iat is None or claims.iat <= at):
            raise RevokedTokenError("the application has revoked the client's tokens so far")

    def not_revoked_at(self, client_id: str, now: float) -> float:
        """Return `now`, or the first millisecond after it at which a token may be issued again."""
        at = self._moments.get(client_id)
        return now if at is None else max(now, at + 0.001)

    def expire(self, now: float) -> None:
        """Forget the moments before which no token was issued that can still be valid."""
        while self._moments:
            client_id, at = next(iter(self._moments.items()))
            if at + _REMEMBERED_S > now:
                break
            del self._moments[client_id]
