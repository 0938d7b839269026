"""The errors of the client.

    HeadraceError
    ├── ConfigError         the URL, the API key or the secret is missing or cannot be used
    ├── InputError          an argument cannot be used; nothing was sent
    ├── RequestError        an error response: `.status`, `.detail`, `.headers`
    ├── TokenError          `Listener` only: the server does not accept the token
    └── UnreachableError    no response; also a ConnectionError

All but UnreachableError are those of `headrace.errors`.
"""

from headrace.errors import (
    ConfigError,
    ExpiredTokenError,
    HeadraceError,
    InputError,
    InvalidTokenError,
    RequestError,
    RevokedTokenError,
    TokenError,
)

__all__ = [
    "ConfigError",
    "ExpiredTokenError",
    "HeadraceError",
    "InputError",
    "InvalidTokenError",
    "RequestError",
    "RevokedTokenError",
    "TokenError",
    "UnreachableError",
]


class UnreachableError(HeadraceError, ConnectionError):
    """There was no response, also after the retries, or not one from a Headrace server."""
