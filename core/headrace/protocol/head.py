"""One request's head: where it ends, its limits, its grammar.

h11 judges names, values, Host and the framing headers. It counts nothing in a head that comes in
one read, and it takes bare LF, folded lines and both framing headers at once, so lines are cut,
counted and checked here before h11 sees them (RFC 9112 sections 2 to 6).

A fault is found at the same byte however the bytes were cut into reads.
"""

import re
from typing import Final

import h11

from headrace import limits
from headrace.errors import RequestError
from headrace.protocol.request import Request

_METHOD_MAX_BYTES: Final = 32  # the longest registered is UPDATEREDIRECTREF, 17

_TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_REQUEST_LINE: Final = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])\r\n" % _TOKEN)
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)*")
_ABSOLUTE_FORM: Final = re.compile(r"[A-Za-z][-+.A-Za-z0-9]*://([^/?]+)(.*)")
# RFC 3986 section 3.2.2, without user information (RFC 9110 section 4.2.4).
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[-._~!$&'()*+,;=%0-9A-Za-z]*)(?::[0-9]*)?")
# RFC 9110 section 5.5 calls these invalid in a value. With them gone, h11's expression for a
# value cannot fail either, and so cannot go back over a long run of blanks again and again.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class HeadReader:
    """Reads one head out of a growing buffer, looking at each byte once."""

    __slots__ = ("_line_start", "_lines", "_method", "_searched", "_target", "_version")

    def __init__(self) -> None:
        self._line_start = 0
        self._lines = 0
        self._searched = 0
        self._method = b""
        self._target = b""
        self._version = b""

    def read(self, buffer: bytearray) -> Request | None:
        """Take a head from the start of `buffer` if it is whole, else return None.

        Call it again with the same buffer when that has grown. Raises RequestError: 400
        malformed, 414 target over TARGET_MAX_BYTES, 417 an expectation other than 100-continue,
        431 over HEAD_MAX_BYTES or HEADERS_MAX_COUNT, 501 a transfer coding other than chunked,
        505 a version other than 1.0 and 1.1.
        """
        if not self._searched:
            # RFC 9112 section 2.2: a server should ignore an empty line before a request.
            empty = _EMPTY_LINES.match(buffer)
            if empty and empty.end():
                del buffer[: empty.end()]
            if buffer == b"\r":
                return None
        end = self._find_end(buffer)
        if not end:
            return None
        head = bytes(memoryview(buffer)[:end])
        del buffer[:end]
        return self._parse(head)

    def _find_end(self, buffer: bytearray) -> int:
        """Return the head's length with its empty line, or 0 while that has not come."""
        while True:
            newline = buffer.find(b"\n", self._searched, limits.HEAD_MAX_BYTES)
            if not self._lines:
                _check_request_line_start(buffer, newline)
            if newline < 0:
                self._searched = len(buffer)
                if self._searched >= limits.HEAD_MAX_BYTES + 1:
                    raise RequestError(
                        431,
                        f"The request's head is over {limits.HEAD_MAX_BYTES} bytes;"
                        " send fewer or shorter headers.",
                    )
                return 0
            start = self._line_start
            self._searched = self._line_start = newline + 1
            if newline == start or buffer[newline - 1] != 0x0D:
                raise RequestError(400, "A line of the head ends with LF alone; end it with CRLF.")
            if newline == start + 1:
                return newline + 1
            self._check_line(buffer, start, newline + 1)

    def _check_line(self, buffer: bytearray, start: int, end: int) -> None:
        self._lines += 1
        if self._lines == 1:
            match = _REQUEST_LINE.fullmatch(buffer, start, end)
            if match is None:
                raise RequestError(400, "The request line is not `METHOD target HTTP/1.1`.")
            self._method, self._target, self._version = map(bytes, match.groups())
            if self._version not in (b"1.1", b"1.0"):
                raise RequestError(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        elif buffer[start] in b" \t":
            # RFC 9112 section 5.2: a server must refuse it or replace it.
            raise RequestError(400, "A header is folded over several lines; send it in one.")
        elif self._lines > limits.HEADERS_MAX_COUNT + 1:
            raise RequestError(
                431, f"The request has over {limits.HEADERS_MAX_COUNT} headers; send fewer."
            )

    def _parse(self, head: bytes) -> Request:
        if _CONTROL.search(head) or head.count(b"\r") != self._lines + 1:
            raise RequestError(400, "The head holds a control character.")
        fields = []
        for line in head[:-4].split(b"\r\n")[1:]:
            name, colon, value = line.partition(b":")
            if not colon:
                raise RequestError(400, "A header line has no colon.")
            fields.append((name, value.strip(b" \t")))
        try:
            parsed = h11.Request(
                method=self._method,
                target=self._target,
                headers=fields,
                http_version=self._version,
            )
        except h11.LocalProtocolError as error:
            # h11 quotes the fault's bytes in some of its texts, and they may be a secret.
            detail = str(error).partition(" b'")[0].partition(' b"')[0]
            raise RequestError(error.error_status_hint, f"{detail}.") from None
        headers = tuple(
            [
                (name.decode("ascii").lower(), value.decode("latin-1"))
                for name, value in parsed.headers.raw_items()
            ]
        )
        version = self._version.decode("ascii")
        known = dict(headers)
        if "transfer-encoding" in known:
            _check_transfer_encoding(known, version)
        if "expect" in known and version == "1.1":
            _check_expect(headers)
        if not _HOST.fullmatch(known.get("host", "")):
            raise RequestError(400, "The Host header is not a host name with an optional port.")
        return _request(
            self._method.decode("ascii"), self._target.decode("ascii"), headers, version
        )


def _check_request_line_start(buffer: bytearray, newline: int) -> None:
    """Refuse a request line as soon as its method or its target is too long."""
    end = len(buffer) if newline < 0 else newline
    space = buffer.find(b" ", 0, _METHOD_MAX_BYTES + 1)
    if space < 0:
        if end > _METHOD_MAX_BYTES:
            raise RequestError(400, "The request line is not `METHOD target HTTP/1.1`.")
        return
    target_end = buffer.find(b" ", space + 1, end)
    if (end if target_end < 0 else target_end) - space - 1 > limits.TARGET_MAX_BYTES:
        raise RequestError(414, f"The request target is over {limits.TARGET_MAX_BYTES} bytes.")


def _check_transfer_encoding(headers: dict[str, str], version: str) -> None:
    if "content-length" in headers:
        # RFC 9112 section 6.1: the means of request smuggling.
        raise RequestError(400, "Both Content-Length and Transfer-Encoding; send one of them.")
    if version == "1.0":
        raise RequestError(400, "Transfer-Encoding does not exist in HTTP/1.0.")


def _check_expect(headers: tuple[tuple[str, str], ...]) -> None:
    # RFC 9110 section 10.1.1.
    for name, value in headers:
        if name == "expect" and value.lower() != "100-continue":
            raise RequestError(417, "The only expectation that is met here is 100-continue.")


def _request(
    method: str, target: str, headers: tuple[tuple[str, str], ...], version: str
) -> Request:
    """Split the target (RFC 9112 section 3.2) and make the request."""
    if "#" in target:
        raise RequestError(400, "The request target holds a fragment; leave out the `#`.")
    origin_form = target
    if not target.startswith("/"):
        absolute = _ABSOLUTE_FORM.fullmatch(target)
        if absolute:
            authority, origin_form = absolute.groups()
            if not _HOST.fullmatch(authority):
                raise RequestError(400, "The request target's host is malformed.")
            # Section 3.2.2: it replaces the Host header.
            headers = tuple(
                [(name, authority if name == "host" else value) for name, value in headers]
            )
            if not origin_form.startswith("/"):
                origin_form = "/" + origin_form
        elif method != "CONNECT" and (method, target) != ("OPTIONS", "*"):
            raise RequestError(400, "The request target is neither a path nor an absolute URI.")
    path, _, query = origin_form.partition("?")
    return Request(method, target, path, query, headers, version)
