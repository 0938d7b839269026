"""Which web pages may connect and post: checks the `Origin` header (RFC 6454 section 7).

A browser sends `Origin` with every WebSocket handshake and every POST, and a page cannot forge it.
Other programs send none and are allowed: their token is the check.
"""

import re
from collections.abc import Iterable

from headrace.errors import ConfigError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
_ORIGIN = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://{_HOST}")
_AUTHORITY = re.compile(_HOST)

_Origin = tuple[str, str, int | None]
"""Scheme, host and port; the port is None if it is not given and the scheme has no default."""


class OriginPolicy:
    """The origins that may connect or post: the server's own, and those in `allowed`.

    `*` allows all. Raises ConfigError for an entry that is neither `*` nor `scheme://host[:port]`.
    """

    __slots__ = ("_allowed", "_any")

    def __init__(self, allowed: Iterable[str]) -> None:
        self._any = False
        found = set()
        for text in allowed:
            origin = _parse(text)
            if origin is not None:
                found.add(origin)
            elif text == "*":
                self._any = True
            else:
                raise ConfigError(
                    f"allowed_origins has {text!r}; an origin is scheme://host[:port] in ASCII"
                    ' without a path, as in "https://example.com", or "*" for all'
                )
        self._allowed = frozenset(found)

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Return True if a request with these `Origin` and `Host` headers is allowed.

        For the same origin only host and port are compared: behind a proxy that terminates TLS, the
        server does not see the scheme that the browser used.
        """
        if origin is None or self._any:
            return True
        parsed = _parse(origin)
        if parsed is None:  # also "null": a sandboxed frame, or a page from a file
            return False
        if parsed in self._allowed:
            return True
        scheme, origin_host, origin_port = parsed
        matched = _AUTHORITY.fullmatch(host.lower()) if host is not None else None
        if matched is None or scheme not in _DEFAULT_PORTS:
            return False
        return (origin_host, origin_port) == (matched["host"], _port(matched["port"], scheme))


def _parse(text: str) -> _Origin | None:
    """Return the parts of an origin (RFC 6454 section 6.2), or None if `text` is not one."""
    matched = _ORIGIN.fullmatch(text.lower())
    if matched is None:
        return None
    port = _port(matched["port"], matched["scheme"])
    if port is not None and port > 65535:
        return None
    return matched["scheme"], matched["host"], port


def _port(digits: str | None, scheme: str) -> int | None:
    return int(digits) if digits else _DEFAULT_PORTS.get(scheme)
