"""The bytes of a response: its head and its body (RFC 9112 sections 4, 6 and 7.1)."""

from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from typing import Final

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

BODILESS: Final = frozenset({204, 304})
"""Responses with these have no body (RFC 9110 sections 15.3.5 and 15.4.5)."""

_STATUS_LINES: Final = {int(s): f"HTTP/1.1 {int(s)} {s.phrase}\r\n" for s in HTTPStatus}

_FRAMING_HEADERS: Final = frozenset({"content-length", "transfer-encoding"})

_CACHED_HEADS_MAX_COUNT: Final = 128
"""More than the kinds of response in one second. A head can reflect a request's Origin, so the
cache may grow to 128 times about 32 KiB, keys included, if clients try."""


class ResponseFraming(Enum):
    """What ends a response body whose length is not known in advance (RFC 9112 section 6.3)."""

    NONE = "there is no body"
    CHUNKED = "the last chunk"
    CLOSE = "the end of the connection"

    @classmethod
    def of(
        cls, status: int, method: str, http_version: str, *, until_close: bool
    ) -> "ResponseFraming":
        """Return the framing of a response; `until_close` asks for CLOSE instead of CHUNKED."""
        if method == "HEAD" or status in BODILESS:
            return cls.NONE
        return cls.CLOSE if until_close or http_version == "1.0" else cls.CHUNKED

    def header(self) -> bytes:
        """Return the header line that announces this framing, or b"" if none does."""
        return b"transfer-encoding: chunked\r\n" if self is ResponseFraming.CHUNKED else b""

    def encode(self, data: bytes) -> bytes:
        """Return the bytes of a piece of the body; b"" for b"", as an empty chunk ends the body."""
        if self is ResponseFraming.CHUNKED:
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return data if self is ResponseFraming.CLOSE else b""

    def end(self) -> bytes:
        """Return the bytes that end the body."""
        return b"0\r\n\r\n" if self is ResponseFraming.CHUNKED else b""


@lru_cache(maxsize=_CACHED_HEADS_MAX_COUNT)
def encode_head(
    status: int,
    headers: tuple[tuple[str, str], ...],
    *,
    close: bool = False,
    http_version: str = "1.1",
) -> bytes:
    """Return the status line and the header lines, without the empty line that ends the head.

    A Connection header follows `headers` if `close`, or if the client's `http_version` is `"1.0"`,
    where closing is the default (RFC 9112 section 9.3). The caller adds the framing header, because
    the length differs from response to response and would defeat the cache. A Date in `headers`
    does not: it changes once a second.

    Raises ValueError for a framing header in `headers`, a header with CR, LF or NUL, and a value
    that is not Latin-1: each could turn data into the head of another response (RFC 9112
    section 11.1). Exceptions are not cached.
    """
    lines = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"]
    for name, value in headers:
        if name.lower() in _FRAMING_HEADERS:
            raise ValueError(f"{name} is set by the connection; leave it out")
        lines.append(f"{name}: {value}\r\n")
    if close:
        lines.append("connection: close\r\n")
    elif http_version == "1.0":
        lines.append("connection: keep-alive\r\n")
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError("a response header holds CR, LF or NUL")
    return text.encode("latin-1")
