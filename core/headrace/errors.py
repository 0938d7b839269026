"""Every exception that Headrace raises on purpose, in one tree.

    HeadraceError
    ├── ConfigError              operator: a setting cannot be used
    ├── StateError               caller's code: an operation in a state that does not allow it
    ├── InputError               caller: a value cannot be used
    │   └── TooLargeError        caller: a value is over a limit in bytes
    ├── ConflictError            caller: an idempotency key was used for another message
    ├── ForbiddenError           caller: not allowed, also with a valid token
    ├── RateLimitedError         caller: too many requests; `.retry_after_s`
    ├── UnavailableError         server or application: not now; `.retry_after_s`
    ├── TokenError               client's token: `.close_code`, `.description`
    │   ├── InvalidTokenError    not decodable, bad signature, other `alg`, revoked key (4001)
    │   ├── ExpiredTokenError    `exp <= now` (4002)
    │   └── RevokedTokenError    revoked with `DELETE /v1/channels/…` (4003)
    ├── FrameError               peer: a violation of the WebSocket protocol; `.close_code`
    └── RequestError             peer: a violation of HTTP, or an HTTP error response; `.status`

The class says whose fault it is; the text names the value, the limit and the way out. The texts may
be shown to the peer, so they never hold a token, a key or message data. Domain code (`messages/`,
`auth/`, `hub/`, `backplane/`) raises domain errors; `api/responses.py` maps them to HTTP statuses.
"""

from headrace import codes

RETRY_AFTER_S = 5.0
"""The default wait before a client tries again after UnavailableError."""


class HeadraceError(Exception):
    """Base class of all errors below."""


class ConfigError(HeadraceError):
    """A setting cannot be used; the text names it, the reason, and a value that works."""


class StateError(HeadraceError):
    """An operation in a state that does not allow it: an error in the calling code."""


class InputError(HeadraceError):
    """A value from the caller cannot be used: a client ID, a group, a target, an id, a body."""


class TooLargeError(InputError):
    """A value from the caller is over a limit in bytes."""


class ConflictError(HeadraceError):
    """The idempotency key of a send was used for one with other data or another target."""


class ForbiddenError(HeadraceError):
    """The caller is known but not allowed to do this."""


class RateLimitedError(HeadraceError):
    """The caller sends too often; it may try again after `retry_after_s` seconds."""

    def __init__(self, detail: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class UnavailableError(HeadraceError):
    """The server, or the application behind it, cannot do this now.

    The caller may try again after `retry_after_s` seconds.
    """

    def __init__(self, detail: str, retry_after_s: float = RETRY_AFTER_S) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class TokenError(HeadraceError):
    """A token that does not open a channel.

    `close_code` closes a WebSocket; `description` is the App Engine client's `onerror` text.
    """

    close_code: int = codes.INVALID_TOKEN

    @property
    def description(self) -> str:
        """The description in the contract's table of token faults."""
        return codes.TOKEN_DESCRIPTIONS[self.close_code]


class InvalidTokenError(TokenError):
    """The token cannot be decoded, is not signed with one of our secrets, or is not HS256."""


class ExpiredTokenError(TokenError):
    """The token's lifetime is over (`exp <= now`)."""

    close_code = codes.EXPIRED_TOKEN


class RevokedTokenError(TokenError):
    """The application revoked the client's tokens issued so far."""

    close_code = codes.REVOKED_TOKEN


class FrameError(HeadraceError):
    """The peer violated RFC 6455; close with `close_code` (1002, 1003, 1007 or 1009).

    `reason` is at most 123 bytes of UTF-8, the payload of the close frame.
    """

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code = close_code
        self.reason = reason


class RequestError(HeadraceError):
    """An HTTP request that ends with an error response.

    `status` is the response's status (4xx or 5xx), `detail` the text of its problem document
    (RFC 9457), `headers` are headers it must carry (`Allow`, `Sec-WebSocket-Version`), names in
    lower case. The server raises it for a malformed request, the client for an error response.
    """

    def __init__(self, status: int, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
