"""headrace.protocol.answer, with h11's client as the other side."""

import h11
import pytest

from headrace.protocol.answer import LAST_CHUNK, encode_chunk, encode_head


def test_a_head() -> None:
    assert encode_head(200, [("X-Name", "caf\xe9")], [("content-length", "0")]) == (
        b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9\r\ncontent-length: 0\r\n\r\n"
    )


def test_a_status_without_a_phrase_keeps_its_blank() -> None:
    """RFC 9112 section 4."""
    assert encode_head(299, []) == b"HTTP/1.1 299 \r\n\r\n"


@pytest.mark.parametrize("name", ["content-length", "Content-Length", "transfer-encoding"])
def test_framing_headers_are_not_the_callers(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        encode_head(200, [(name, "1")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "a\r\nset-cookie: b"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x\r\ny", "a"),
        ("x", "\u20ac"),
    ],
)
def test_what_would_split_an_answer_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"CR, LF or NUL|latin-1"):
        encode_head(200, [(name, value)])


def test_chunks_are_read_by_h11() -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(encode_head(200, [("x", "y")], [("transfer-encoding", "chunked")]))
    parts = [b"a", b"", b"x" * 20, b"\r\n"]
    client.receive_data(b"".join(map(encode_chunk, parts)) + LAST_CHUNK)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.headers == [(b"x", b"y"), (b"transfer-encoding", b"chunked")]
    data = b""
    while isinstance(event := client.next_event(), h11.Data):
        data += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert data == b"".join(parts)
