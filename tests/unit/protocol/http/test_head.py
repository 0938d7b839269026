"""headrace.protocol.http.head: each head whole, byte by byte, and followed by the next one."""

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.helpers.client_bytes import byte_by_byte, cut_at

from headrace import limits
from headrace.errors import RequestError
from headrace.protocol.http.events import RequestHead
from headrace.protocol.http.head import HeadReader

NEXT_HEAD = b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n"

LINE = b"GET / HTTP/1.1\r\n"
HOST = b"Host: a\r\n"
START = LINE + HOST


def read_chunks(chunks: list[bytes]) -> RequestHead | tuple[int, str] | None:
    """Return the head, or the status and text of the error, or None for an incomplete head."""
    buffer = bytearray()
    reader = HeadReader()
    for chunk in chunks:
        buffer += chunk
        try:
            request = reader.read(buffer)
        except RequestError as error:
            return error.status, error.detail
        if request is not None:
            return request
    return None


def three_ways(head: bytes) -> RequestHead | tuple[int, str] | None:
    whole = read_chunks([head])
    assert read_chunks(byte_by_byte(head)) == whole
    if whole is not None:
        assert read_chunks([head + NEXT_HEAD]) == whole
    return whole


def read(head: bytes) -> RequestHead:
    request = three_ways(head)
    assert isinstance(request, RequestHead), request
    return request


def refusal(head: bytes) -> tuple[int, str]:
    refused = three_ways(head)
    assert isinstance(refused, tuple), refused
    return refused


def test_a_request() -> None:
    assert read(
        b"POST /v1/messages?a=1&b=%20?x HTTP/1.1\r\nHost: a.example:80\r\nX-Name:  caf\xe9 \t\r\n"
        b"X-Empty:\r\nCONTENT-LENGTH: 3\r\n\r\n"
    ) == RequestHead.from_headers(
        method="POST",
        target="/v1/messages?a=1&b=%20?x",
        path="/v1/messages",
        query="a=1&b=%20?x",
        headers=(
            ("host", "a.example:80"),
            ("x-name", "caf\xe9"),
            ("x-empty", ""),
            ("content-length", "3"),
        ),
        http_version="1.1",
    )


def test_the_next_head_stays_in_the_buffer() -> None:
    buffer = bytearray(START + b"\r\n" + NEXT_HEAD)
    assert HeadReader().read(buffer)
    assert buffer == NEXT_HEAD


def test_an_incomplete_head_is_none() -> None:
    assert three_ways(START) is None
    assert three_ways(START + b"\r") is None


def test_http_1_0_needs_no_host() -> None:
    assert read(b"GET / HTTP/1.0\r\n\r\n").http_version == "1.0"


def test_any_token_is_a_method() -> None:
    assert read(b"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n").method == "M-SEARCH"


def test_empty_lines_before_a_request_are_skipped() -> None:
    """RFC 9112 section 2.2."""
    assert read(b"\r\n\r\n\r\n" + START + b"\r\n").path == "/"


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("/a%2Fb/?", "/a%2Fb/", "", "a"),
        ("//double/slash", "//double/slash", "", "a"),
        ("/at?url=http://b/c?d", "/at", "url=http://b/c?d", "a"),
        ("http://b:81/c?d=e", "/c", "d=e", "b:81"),
        ("http://b", "/", "", "b"),
        ("http://b?d", "/", "d", "b"),
        ("http://[::1]:8080/c", "/c", "", "[::1]:8080"),
    ],
)
def test_targets(target: str, path: str, query: str, host: str) -> None:
    """RFC 9112 section 3.2: the authority of an absolute form replaces the Host header."""
    request = read(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target.encode())
    assert (request.target, request.path, request.query) == (target, path, query)
    assert request.header("host") == host


def test_asterisk_and_authority_form() -> None:
    assert read(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path == "*"
    assert read(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n").path == "a:443"


@pytest.mark.parametrize(
    "target",
    ["*", "a", "a:443", "http:", "http:///c", "http://u:p@b/", "http://b c/", "/a#b", "/\xe9", ""],
)
def test_400_malformed_targets(target: str) -> None:
    assert refusal(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target.encode("latin-1"))[0] == 400


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / http/1.1",
        b"GET / HTTP/1.10",
        b"GET / HTTPS/1.1",
        b" GET / HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"G\x00T / HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 40,  # a TLS client hello
        b"x" * 33,
    ],
)
def test_400_malformed_request_lines(line: bytes) -> None:
    assert refusal(line + b"\r\n" + HOST + b"\r\n")[0] == 400


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"3.0"])
def test_505_other_versions(version: bytes) -> None:
    assert refusal(b"GET / HTTP/" + version + b"\r\n" + HOST + b"\r\n")[0] == 505


def test_505_http_2_preface() -> None:
    """RFC 9113 section 3.4."""
    assert refusal(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")[0] == 505


@pytest.mark.parametrize(
    "fields",
    [
        b"no colon\r\n",
        b": no name\r\n",
        b"Name : blank before the colon\r\n",
        b"N\xe4me: x\r\n",
        b"Na(me: x\r\n",
        b"X: a\x00b\r\n",
        b"X: a\x07b\r\n",
        b"X: a\x7fb\r\n",
        b"X: a\rb\r\n",
        b"X: a\r\r\n",
        b"X: a\x0bb\r\n",
        b"Host: b\r\n",
        b"Content-Length: x\r\n",
        b"Content-Length: +1\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 1_0\r\n",
        b"Content-Length: 0x1\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 123456789012345678901\r\n",
        b"Content-Length: 1, 2\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n",
    ],
)
def test_400_malformed_headers(fields: bytes) -> None:
    assert refusal(START + fields + b"\r\n")[0] == 400


def test_equal_content_lengths_are_one() -> None:
    """RFC 9112 section 6.3, point 5."""
    request = read(START + b"Content-Length: 5, 5\r\nContent-Length: 5\r\n\r\n")
    assert request.header_list("content-length") == ["5"]


@pytest.mark.parametrize(
    "host", [b"a b", b"a/b", b"u@a", b"a:b", b"[::1", b"b\xc3\xbccher.example", b'"a"']
)
def test_400_invalid_host(host: bytes) -> None:
    assert refusal(LINE + b"Host: " + host + b"\r\n\r\n")[0] == 400


@pytest.mark.parametrize("host", [b"", b"a", b"a:80", b"[::1]:80", b"127.0.0.1", b"a_b.example."])
def test_hosts(host: bytes) -> None:
    assert read(LINE + b"Host: " + host + b"\r\n\r\n").header("host") == host.decode()


def test_400_missing_host() -> None:
    assert refusal(LINE + b"\r\n") == (400, "Missing mandatory Host: header.")


# --- what h11 does not check ---------------------------------------------------------------------


def test_h11_does_not_limit_a_head_in_one_read() -> None:
    padding = b"X-Padding: " + b"x" * 1000 + b"\r\n"
    head = START + padding * 200 + b"\r\n"
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    assert isinstance(connection.next_event(), h11.Request)
    assert refusal(head)[0] == 431


def test_h11_does_not_limit_the_number_of_headers() -> None:
    head = START + b"X:\r\n" * 20_000 + b"\r\n"
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    assert isinstance(connection.next_event(), h11.Request)
    assert refusal(head) == (431, "The request has over 100 headers; send fewer.")


def test_h11_accepts_both_framing_headers() -> None:
    head = START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    assert isinstance(connection.next_event(), h11.Request)
    assert refusal(head)[0] == 400


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    ],
)
def test_h11_accepts_bare_lf(head: bytes) -> None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    assert isinstance(connection.next_event(), h11.Request)
    assert refusal(head)[0] == 400


@pytest.mark.parametrize("blank", [b" ", b"\t"])
def test_h11_accepts_obsolete_folding(blank: bytes) -> None:
    head = START + b"X: a\r\n" + blank + b"b\r\n\r\n"
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    assert isinstance(connection.next_event(), h11.Request)
    assert refusal(head)[0] == 400


def test_h11_backtracks_over_blanks_before_a_control_character() -> None:
    """That takes h11 quadratic time, about a second; it is refused before h11 gets it."""
    assert refusal(START + b"X:" + b" " * 16_000 + b"\x01\r\n\r\n") == (
        400,
        "The head holds a control character.",
    )


def test_an_error_does_not_quote_what_may_be_a_secret() -> None:
    for field in (b"Authorization : Bearer secret\r\n", b"secret\r\n", b"se(cret: 'x'\r\n"):
        assert "secret" not in refusal(START + field + b"\r\n")[1]


# --- limits --------------------------------------------------------------------------------------


def test_the_longest_head() -> None:
    padding = b"X: " + b"x" * (limits.HEAD_MAX_BYTES - len(START) - 7)
    assert len(START + padding + b"\r\n\r\n") == limits.HEAD_MAX_BYTES
    assert read(START + padding + b"\r\n\r\n").path == "/"
    assert refusal(START + padding + b"x\r\n\r\n")[0] == 431


def test_the_most_headers() -> None:
    assert len(read(START + b"X:\r\n" * (limits.HEADERS_MAX_COUNT - 1) + b"\r\n").headers) == 100
    assert refusal(START + b"X:\r\n" * limits.HEADERS_MAX_COUNT + b"\r\n")[0] == 431


def test_the_longest_target() -> None:
    target = b"/" + b"x" * (limits.TARGET_MAX_BYTES - 1)
    assert read(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n").target == target.decode()
    assert refusal(b"GET " + target + b"x HTTP/1.1\r\n" + HOST + b"\r\n")[0] == 414


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"GET /" + b"x" * limits.TARGET_MAX_BYTES, 414),
        (START + b"X: " + b"x" * limits.HEAD_MAX_BYTES, 431),
        (START + b"X:\r\n" * limits.HEADERS_MAX_COUNT, 431),
        (b"GET / HTTP/1.1\n", 400),
        (b"x" * 33, 400),
    ],
)
def test_a_head_is_refused_before_it_is_complete(start: bytes, status: int) -> None:
    assert refusal(start)[0] == status


def test_each_byte_of_a_slow_head_is_searched_once() -> None:
    reader, buffer = HeadReader(), bytearray()
    for number in range(1, 8):
        buffer += START if number == 1 else b"X: " + b"x" * 1000
        assert reader.read(buffer) is None
        assert reader._searched == len(buffer)


# --- framing and expectations --------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding:\r\n",
    ],
)
def test_501_other_transfer_codings(fields: bytes) -> None:
    assert refusal(START + fields + b"\r\n")[0] == 501


def test_400_transfer_encoding_in_http_1_0() -> None:
    """RFC 9112 section 6.1."""
    assert refusal(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")[0] == 400


def test_417_other_expectations() -> None:
    assert refusal(START + b"Expect: 200-ok\r\n\r\n")[0] == 417
    assert refusal(START + b"Expect: x\r\nExpect: 100-continue\r\n\r\n")[0] == 417
    assert read(START + b"Expect: 100-Continue\r\n\r\n").header("expect") == "100-Continue"
    assert read(b"GET / HTTP/1.0\r\nExpect: 200-ok\r\n\r\n").http_version == "1.0"


# --- any bytes, cut anywhere ---------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"/ ", b"/a?b ", b"* ", b"http://b/ ", b"HTTP/1.1\r\n"),
        *(b"HTTP/1.0\r\n", b"HTTP/2.0\r\n", LINE, HOST, START, b"X: y\r\n", b"X:\r\n" * 60),
        *(b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: x\r\n"),
        *(b"\r\n", b"\n", b"\r", b" ", b"\x00", b"\x16", b"x" * 40, b"x" * 5000, b"\r\n\r\n"),
    ]
)


@given(
    st.lists(PIECES | st.binary(max_size=4), max_size=12).map(b"".join),
    st.lists(st.integers(0, 40_000), max_size=6),
)
@example(b"\r\n" * 3 + START, [1, 2, 3])
@settings(deadline=None)
def test_any_bytes_cut_anywhere_give_the_same_result(data: bytes, cuts: list[int]) -> None:
    """RequestError is the only exception."""
    chunks = cut_at(data, cuts)
    assert read_chunks(chunks) == read_chunks([data])
