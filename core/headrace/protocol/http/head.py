"""One request head: where it ends, its limits, its grammar (RFC 9112 sections 2 to 6).

h11 validates names, values, Host and the framing headers. It does not limit a head that arrives in
one read, and it accepts bare LF, folded lines and both framing headers at once. Therefore lines are
split, counted and checked here before h11 gets them.

HeadReader reads every head. It examines each byte once, however the bytes were cut into reads, and
finds a fault at the same byte each time. Most heads arrive whole and have a common form: for these
it has a shortcut, `read_common_head`, with one regular expression and h11, which never raises.
"""

import re
from typing import Final

import h11

from headrace import limits
from headrace.errors import RequestError
from headrace.protocol.http.events import RequestHead

_METHOD_MAX_BYTES: Final = 32  # the longest registered is UPDATEREDIRECTREF, 17

_TOKEN_CHARACTER: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]"
_REQUEST_LINE: Final = re.compile(
    rb"(%b+) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])\r\n" % _TOKEN_CHARACTER
)
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)*")
_ABSOLUTE_FORM: Final = re.compile(r"[A-Za-z][-+.A-Za-z0-9]*://([^/?]+)(.*)")
# RFC 3986 section 3.2.2, without user information (RFC 9110 section 4.2.4).
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[-._~!$&'()*+,;=%0-9A-Za-z]*)(?::[0-9]*)?")
# RFC 9110 section 5.5: invalid in a value. Without them h11's expression for a value cannot fail,
# so it cannot backtrack over a long run of blanks in quadratic time.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# The common form of a whole head: a target in origin form, at most HEADERS_MAX_COUNT header lines,
# no blank at the end of a value. All repeats are possessive, so it cannot backtrack: each byte is
# read once, or twice in the target, where a lookahead checks the length.
_COMMON_HEAD: Final = re.compile(
    rb"(%(token)b{1,%(method)d}+) (?=[^ ]{1,%(target)d}+ )(/[\x21\x22\x24-\x7e]*+)"
    rb" HTTP/(1\.[01])\r\n"
    rb"(?:%(token)b++:[\t\x20-\x7e\x80-\xff]*+(?<![\t ])\r\n){0,%(headers)d}+"
    rb"\r\n"
    % {
        b"token": _TOKEN_CHARACTER,
        b"method": _METHOD_MAX_BYTES,
        b"target": limits.TARGET_MAX_BYTES,
        b"headers": limits.HEADERS_MAX_COUNT,
    }
)
# The name and the stripped value of a line in such a head.
_COMMON_HEADER: Final = re.compile(rb"([^:]++):[\t ]*+([^\r]*+)\r\n")


def read_common_head(buffer: bytearray) -> RequestHead | None:
    """Take a valid head of the common form from the start of `buffer`.

    Return None and leave the buffer unchanged if it does not begin with one: the head is
    incomplete, malformed, or valid in another form, such as one with a repeated name. HeadReader
    returns the same for every head that this function returns.
    """
    match = _COMMON_HEAD.match(buffer, 0, limits.HEAD_MAX_BYTES)
    if match is None:
        return None
    method, target, version = match.groups()
    lines = _COMMON_HEADER.findall(buffer, match.end(3) + 2, match.end())
    fields = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in lines}
    if (
        len(fields) != len(lines)
        or "expect" in fields
        or "transfer-encoding" in fields
        or not fields.get("content-length", "0").isdecimal()
        or not _HOST.fullmatch(fields.get("host", ""))
    ):
        return None
    try:
        h11.Request(method=method, target=target, headers=lines, http_version=version)
    except h11.LocalProtocolError:
        return None
    del buffer[: match.end()]
    text = target.decode("ascii")
    path, _, query = text.partition("?")
    return RequestHead(
        method.decode("ascii"),
        text,
        path,
        query,
        tuple(fields.items()),
        version.decode("ascii"),
        fields,
    )


class HeadReader:
    """Reads the heads of one connection from its buffer, one after the other."""

    __slots__ = ("_line_count", "_line_start", "_method", "_searched", "_target", "_version")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._line_count = 0
        self._line_start = 0
        self._searched = 0
        self._method = b""
        self._target = b""
        self._version = b""

    def read(self, buffer: bytearray) -> RequestHead | None:
        """Take the head from the start of `buffer` if it is complete, else return None.

        After None, call it again with the same buffer when that has grown. Raises RequestError: 400
        malformed, 414 target over TARGET_MAX_BYTES, 417 an expectation other than 100-continue,
        431 over HEAD_MAX_BYTES or HEADERS_MAX_COUNT, 501 a transfer coding other than chunked,
        505 a version other than 1.0 and 1.1. After an error the reader cannot be used again.
        """
        if not self._searched:
            head = read_common_head(buffer)
            if head is not None:
                return head
        return self._read_any_head(buffer)

    def _read_any_head(self, buffer: bytearray) -> RequestHead | None:
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
        head = self._parse(bytes(memoryview(buffer)[:end]))
        del buffer[:end]
        self._begin()
        return head

    def _find_end(self, buffer: bytearray) -> int:
        """Return the length of the head with its empty line, or 0 if it is incomplete."""
        while True:
            newline = buffer.find(b"\n", self._searched, limits.HEAD_MAX_BYTES)
            if not self._line_count:
                _check_request_line_start(buffer, newline)
            if newline < 0:
                self._searched = len(buffer)
                if self._searched >= limits.HEAD_MAX_BYTES + 1:
                    raise RequestError(
                        431,
                        f"The request head is over {limits.HEAD_MAX_BYTES} bytes;"
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
        self._line_count += 1
        if self._line_count == 1:
            match = _REQUEST_LINE.fullmatch(buffer, start, end)
            if match is None:
                raise RequestError(400, "The request line is not `METHOD target HTTP/1.1`.")
            self._method, self._target, self._version = match.groups()
            if self._version not in (b"1.1", b"1.0"):
                raise RequestError(505, "The HTTP version is neither 1.1 nor 1.0; use one of them.")
        elif buffer[start] in b" \t":
            # RFC 9112 section 5.2: a server must refuse it or replace it.
            raise RequestError(400, "A header is folded over several lines; send it in one.")
        elif self._line_count > limits.HEADERS_MAX_COUNT + 1:
            raise RequestError(
                431, f"The request has over {limits.HEADERS_MAX_COUNT} headers; send fewer."
            )

    def _parse(self, head: bytes) -> RequestHead:
        if _CONTROL.search(head) or head.count(b"\r") != self._line_count + 1:
            raise RequestError(400, "The head holds a control character.")
        lines = []
        for line in head[:-4].split(b"\r\n")[1:]:
            name, colon, value = line.partition(b":")
            if not colon:
                raise RequestError(400, "A header line has no colon.")
            lines.append((name, value.strip(b" \t")))
        try:
            parsed = h11.Request(
                method=self._method, target=self._target, headers=lines, http_version=self._version
            )
        except h11.LocalProtocolError as error:
            # Some texts of h11 quote the invalid bytes, and those may be a secret.
            detail = str(error).partition(" b'")[0].partition(' b"')[0]
            raise RequestError(error.error_status_hint, f"{detail}.") from None
        headers = [
            (name.decode("ascii").lower(), value.decode("latin-1"))
            for name, value in parsed.headers.raw_items()
        ]
        version = self._version.decode("ascii")
        fields = dict(headers)
        if "transfer-encoding" in fields:
            _check_transfer_encoding(fields, version)
        if "expect" in fields and version == "1.1":
            _check_expect(headers)
        if not _HOST.fullmatch(fields.get("host", "")):
            raise RequestError(400, "The Host header is not a host name with an optional port.")
        return _request_head(
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


def _check_transfer_encoding(fields: dict[str, str], version: str) -> None:
    if "content-length" in fields:
        # RFC 9112 section 6.1: this is how requests are smuggled.
        raise RequestError(400, "Both Content-Length and Transfer-Encoding; send one of them.")
    if version == "1.0":
        raise RequestError(400, "HTTP/1.0 has no Transfer-Encoding; send Content-Length.")


def _check_expect(headers: list[tuple[str, str]]) -> None:
    # RFC 9110 section 10.1.1.
    for name, value in headers:
        if name == "expect" and value.lower() != "100-continue":
            raise RequestError(417, "The only supported expectation is 100-continue.")


def _request_head(
    method: str, target: str, headers: list[tuple[str, str]], version: str
) -> RequestHead:
    """Split the target (RFC 9112 section 3.2) and return the head."""
    if "#" in target:
        raise RequestError(400, "The request target has a fragment; leave out the `#`.")
    origin_form = target
    if not target.startswith("/"):
        absolute = _ABSOLUTE_FORM.fullmatch(target)
        if absolute:
            authority, origin_form = absolute.groups()
            if not _HOST.fullmatch(authority):
                raise RequestError(400, "The host in the request target is malformed.")
            # Section 3.2.2: the authority replaces the Host header.
            headers = [(name, authority if name == "host" else value) for name, value in headers]
            if not origin_form.startswith("/"):
                origin_form = "/" + origin_form
        elif method != "CONNECT" and (method, target) != ("OPTIONS", "*"):
            raise RequestError(400, "The request target is neither a path nor an absolute URI.")
    path, _, query = origin_form.partition("?")
    return RequestHead.from_headers(method, target, path, query, headers, version)
