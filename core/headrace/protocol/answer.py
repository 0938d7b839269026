"""An answer's head and chunks (RFC 9112 sections 4 and 7.1)."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

_STATUS_LINES: Final = {int(s): f"HTTP/1.1 {int(s)} {s.phrase}\r\n" for s in HTTPStatus}

_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})


def encode_head(
    status: int, headers: Sequence[tuple[str, str]], ours: Iterable[tuple[str, str]] = ()
) -> bytes:
    """Return the status line and the headers, `headers` before `ours`.

    Raises ValueError for a framing header in `headers`, a line end in any, and a value that is not
    Latin-1, because each would let data become another answer's head (RFC 9112 section 11.1).
    """
    lines = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"]
    for name, value in headers:
        if name.lower() in _FRAMING:
            raise ValueError(f"{name} is set by the connection; leave it out")
        lines.append(f"{name}: {value}\r\n")
    for name, value in ours:
        lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n")
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError("a header of the answer holds CR, LF or NUL")
    return text.encode("latin-1")


def encode_chunk(data: bytes) -> bytes:
    """Return one chunk (section 7.1); nothing for no data, since an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
