"""What a request to a server can end with, beside its answer.

HeadraceError
├── RequestError        the server refused it: `.status`, `.detail`, `.headers` of its answer
├── UnreachableError    no server answered, or what answered is none; also a ConnectionError
└── ConfigError         the URL, the API key or the secret is missing or cannot be used
"""

from headrace.errors import ConfigError, HeadraceError, RequestError

__all__ = ["ConfigError", "HeadraceError", "RequestError", "UnreachableError"]


class UnreachableError(HeadraceError, ConnectionError):
    """There was no answer, also after the retries, or none that a Headrace server gives."""
