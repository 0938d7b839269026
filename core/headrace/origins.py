"""Which pages may connect and post: the `Origin` header (RFC 6454 section 7) against the settings.

A browser sends `Origin` with every WebSocket handshake and every POST, and a page cannot forge it.
Other programs send none and are not held up: what they need is a token.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from headrace.errors import ConfigError

_DEFAULT_PORTS = {"http": 80, "https": 443}


class OriginPolicy:
    """The origins that may connect or post; `*` allows all, none means the same origin only."""

    __slots__ = ("_allowed", "_any")

    def __init__(self, allowed: Iterable[str]) -> None:
        """ConfigError for an entry that is neither `*` nor `scheme://host[:port]`."""
        self._allowed = frozenset(allowed)
        self._any = "*" in self._allowed
        for origin in self._allowed - {"*"}:
            parts = urlsplit(origin)
            if not (parts.scheme and parts.netloc) or origin != f"{parts.scheme}://{parts.netloc}":
                raise ConfigError(
                    f"allowed_origins has {origin!r}; an origin is scheme://host[:port] without a"
                    ' path, as in "https://example.com", or "*" for all'
                )

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Tell whether a request with these `Origin` and `Host` headers may go on.

        Same origin is told by host and port alone: behind a proxy that ends TLS the scheme that we
        see is not the one that the browser used.
        """
        if origin is None or self._any or origin in self._allowed:
            return True
        parts = urlsplit(origin)
        if host is None or not parts.netloc:
            return False
        default_port = _DEFAULT_PORTS.get(parts.scheme)
        return _with_port(parts.netloc, default_port) == _with_port(host, default_port)


def _with_port(netloc: str, default_port: int | None) -> str:
    netloc = netloc.lower()
    if netloc.rpartition(":")[2].isdigit() and not netloc.endswith("]"):
        return netloc
    return f"{netloc}:{default_port}"
