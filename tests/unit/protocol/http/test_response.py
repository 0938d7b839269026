"""headrace.protocol.http.response, with h11's client as the other side."""

import h11
import pytest

from headrace.protocol.http.response import ResponseFraming, encode_head


def test_encode_head() -> None:
    assert encode_head(200, (("X-Name", "caf\xe9"), ("x", ""))) == (
        b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9\r\nx: \r\n"
    )


def test_a_status_without_a_phrase_keeps_the_space() -> None:
    """RFC 9112 section 4."""
    assert encode_head(299, ()) == b"HTTP/1.1 299 \r\n"


@pytest.mark.parametrize(
    ("close", "http_version", "line"),
    [
        (False, "1.1", b""),
        (True, "1.1", b"connection: close\r\n"),
        (False, "1.0", b"connection: keep-alive\r\n"),
        (True, "1.0", b"connection: close\r\n"),
    ],
)
def test_the_connection_header(close: bool, http_version: str, line: bytes) -> None:
    """RFC 9112 section 9.3."""
    head = encode_head(200, (("a", "b"),), close=close, http_version=http_version)
    assert head == b"HTTP/1.1 200 OK\r\na: b\r\n" + line


@pytest.mark.parametrize("name", ["content-length", "Content-Length", "transfer-encoding"])
def test_a_framing_header_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        encode_head(200, ((name, "1"),))


INVALID_HEADERS = [
    ("x", "a\r\nset-cookie: b"),
    ("x", "a\nb"),
    ("x", "a\rb"),
    ("x", "a\0b"),
    ("x\r\ny", "a"),
    ("x", "\u20ac"),
]


@pytest.mark.parametrize(("name", "value"), INVALID_HEADERS)
def test_a_header_that_would_split_the_response_is_refused(name: str, value: str) -> None:
    for _ in range(2):  # the second time as well: no error is cached as a head
        with pytest.raises(ValueError, match=r"CR, LF or NUL|latin-1"):
            encode_head(200, ((name, value),))


@pytest.mark.parametrize("header", INVALID_HEADERS)
def test_no_invalid_header_gets_into_the_cache(header: tuple[str, str]) -> None:
    encode_head.cache_clear()
    valid = encode_head(200, (("x", "a"),))
    with pytest.raises(ValueError, match=r"CR, LF or NUL|latin-1"):
        encode_head(200, (("x", "a"), header))
    assert encode_head.cache_info().currsize == 1
    assert encode_head(200, (("x", "a"),)) is valid


def test_the_cache_is_bounded() -> None:
    size = encode_head.cache_info().maxsize
    assert size is not None
    for number in range(2 * size):
        encode_head(200, (("x", str(number)),))
    assert encode_head.cache_info().currsize == size


def test_h11_reads_the_chunks() -> None:
    framing = ResponseFraming.CHUNKED
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(encode_head(200, (("x", "y"),)) + framing.header() + b"\r\n")
    pieces = [b"a", b"", b"x" * 20, b"\r\n"]
    client.receive_data(b"".join(map(framing.encode, pieces)) + framing.end())
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.headers == [(b"x", b"y"), (b"transfer-encoding", b"chunked")]
    data = b""
    while isinstance(event := client.next_event(), h11.Data):
        data += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert data == b"".join(pieces)


def test_a_body_without_chunks() -> None:
    assert ResponseFraming.CLOSE.header() == ResponseFraming.NONE.header() == b""
    assert ResponseFraming.CLOSE.encode(b"a") == b"a"
    assert ResponseFraming.NONE.encode(b"a") == b""
    assert ResponseFraming.CLOSE.end() == ResponseFraming.NONE.end() == b""
