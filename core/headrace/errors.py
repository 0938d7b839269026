"""Every exception that Headrace raises on purpose, in one tree.

    HeadraceError
    ├── ConfigError              the operator's: a setting that cannot be used
    ├── TokenError               the client's token: `.close_code`, `.description`
    │   ├── InvalidTokenError    not decodable, bad signature, other `alg`, revoked key (4001)
    │   ├── ExpiredTokenError    `exp <= now` (4002)
    │   └── RevokedTokenError    revoked with `DELETE /v1/channels/…` (4003)
    ├── RequestError             the caller's HTTP request: `.status` and `.headers` of the answer
    ├── FrameError               the peer broke the WebSocket protocol: `.close_code`
    └── StateError               ours: an object was used in an order that its table forbids

Whose fault it is stands in the class; the text names the value, the limit and the way out. The
text of a `TokenError` or a `RequestError` may be shown to the peer, so it never holds a token, a
key or message data.
"""

from headrace import codes


class HeadraceError(Exception):
    """The root of the tree."""


class ConfigError(HeadraceError):
    """A setting that cannot be used; the text says which one, why, and what would do."""


class TokenError(HeadraceError):
    """A token that does not open a channel.

    `close_code` ends a WebSocket, `description` is the App Engine client's `onerror` text, and
    `status` answers whoever asked by plain HTTP.
    """

    status = 401
    close_code: int = codes.INVALID_TOKEN

    @property
    def description(self) -> str:
        """The description in the contract's table of token faults."""
        return codes.TOKEN_DESCRIPTIONS[self.close_code]


class InvalidTokenError(TokenError):
    """The token cannot be decoded, is not signed by one of our secrets, or is not HS256."""


class ExpiredTokenError(TokenError):
    """The token's lifetime is over (`exp <= now`)."""

    close_code = codes.EXPIRED_TOKEN


class RevokedTokenError(TokenError):
    """The application revoked the client's tokens issued so far."""

    close_code = codes.REVOKED_TOKEN


class RequestError(HeadraceError):
    """An HTTP request that gets a 4xx or 503 as `application/problem+json` (RFC 9457).

    `status` is the answer's status, `detail` its human-readable text, `headers` what the answer
    must carry beside (`Allow`, `Retry-After`, `Sec-WebSocket-Version`), names in lower case.
    """

    def __init__(self, status: int, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


class FrameError(HeadraceError):
    """The peer broke RFC 6455; the connection is closed with `close_code` (1002, 1003, 1007, 1009).

    `reason` is at most 123 bytes of UTF-8 and goes into the close frame.
    """

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code = close_code
        self.reason = reason


class StateError(HeadraceError):
    """An object was used in an order its state table forbids: a defect of the caller, not input."""
