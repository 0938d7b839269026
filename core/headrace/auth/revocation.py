"""Revoked tokens: for each client, those issued before its latest revocation.

A token says in two ways when it was issued.

`pos` is an id of the total order at that time. A revocation has a position in the same order, so a
`pos` at or after it proves that the token was issued later, whatever any clock says. Every token
that the hub mints has a `pos`: after a revocation, a new one is valid at once.

`iat` is the time by the issuer's clock, which may be ahead of ours by `CLOCK_SKEW_S`, as verifying
allows. So a token that was issued just before the revocation may have an `iat` up to that much
after it. Nothing in a token without a newer `pos` distinguishes it from one that was issued later
by an exact clock. Therefore, of tokens without a newer `pos`, those with an `iat` up to
`CLOCK_SKEW_S` after the revocation are revoked, and those without `iat` as well. An issuer that
signs tokens itself has two ways to issue a valid one sooner: request it from the server, or include
a `pos` from a response that it received after the revocation.

If the clock is set back, the time of a revocation may be far in the future, and by that time alone
every new `iat` would be too old. Then `expire` notes the current time, and an `iat` is compared
with this time too: it is revoked if it is not after that time, or within the lifetime of a token
before the revocation. The second rule is for a clock that was right before it was set back.

A revocation is kept for as long as a token can be valid, by the monotonic clock: a clock that is a
day ahead for a minute must not delete it.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from headrace import limits
from headrace.auth.tokens import CLOCK_SKEW_S, Claims
from headrace.errors import RevokedTokenError
from headrace.messages.position import Position, parse_position

KEPT_S: Final = limits.TOKEN_MAX_MINUTES * 60 + CLOCK_SKEW_S
"""How long a revocation is kept: no token that it concerns is valid any more."""


class Revocation(NamedTuple):
    """A revocation in Unix time and in the total order."""

    at: float
    position: Position
    forget_at: float
    """Monotonic time in seconds."""
    set_back_to: float
    """The Unix time when the clock was found to be before `at`; `at` if it never was."""

    def covers(self, iat: float) -> bool:
        """Return True if a token with this `iat` may have been issued before the revocation."""
        if iat <= self.set_back_to + CLOCK_SKEW_S:
            return True
        return self.at - KEPT_S <= iat <= self.at + CLOCK_SKEW_S


class Revocations:
    """The latest revocation of each client."""

    __slots__ = ("_revocations", "_unix")

    def __init__(self) -> None:
        self._revocations: OrderedDict[str, Revocation] = OrderedDict()  # the latest last
        self._unix = float("inf")  # at the last `expire`

    def __len__(self) -> int:
        return len(self._revocations)

    def revoke(self, client_id: str, at: float, position: Position, now: float) -> None:
        """Revoke the client's tokens issued so far.

        `at` is Unix time, `position` that of the revocation in the total order, `now` monotonic.
        """
        self._revocations.pop(client_id, None)  # so that the new one goes to the end
        self._revocations[client_id] = Revocation(at, position, now + KEPT_S, at)

    def entries(self) -> dict[str, Revocation]:
        """Return each client's revocation, the oldest first."""
        return dict(self._revocations)

    def check(self, claims: Claims) -> None:
        """Raise RevokedTokenError if a verified token with these claims is revoked."""
        revocation = self._revocations.get(claims.sub)
        if revocation is None:
            return
        if claims.pos is not None and parse_position(claims.pos) >= revocation.position:
            return
        if claims.iat is None or revocation.covers(claims.iat):
            raise RevokedTokenError(
                "the application revoked the client's tokens issued so far; a new token from the"
                " server is accepted"
            )

    def expire(self, now: float, unix: float) -> None:
        """Delete old revocations; `now` is monotonic, `unix` Unix time."""
        revocations = self._revocations
        if unix < self._unix:  # the clock was set back
            for client_id, revocation in revocations.items():
                if revocation.set_back_to > unix:
                    revocations[client_id] = revocation._replace(set_back_to=unix)
        self._unix = unix
        while revocations:
            client_id, revocation = next(iter(revocations.items()))
            if revocation.forget_at > now:
                break
            del revocations[client_id]
