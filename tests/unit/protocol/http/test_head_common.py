"""headrace.protocol.http.head: the shortcut for common heads against the full reader."""

import re._constants as sre  # type: ignore[import-not-found]  # no stubs
import re._parser as sre_parser  # type: ignore[import-not-found]  # no stubs
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import limits
from headrace.errors import RequestError
from headrace.protocol.http import head as head_module
from headrace.protocol.http.events import RequestHead
from headrace.protocol.http.head import HeadReader, read_common_head

NEXT_HEAD = b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n"

LINE = b"GET / HTTP/1.1\r\n"
HOST = b"Host: a\r\n"
START = LINE + HOST

COMMON_HEADS = [
    START + b"\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    (
        b"POST /v1/send?a=1&b=%20?x HTTP/1.1\r\nHost: a.example:80\r\nAuthorization: Bearer x.y\r\n"
        b"Content-Type: application/json\r\nContent-Length: 3\r\nAccept: */*\r\n\r\n"
    ),
    (
        b"GET /v1/connect HTTP/1.1\r\nHost: [::1]:80\r\nConnection: keep-alive, Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA==\r\n\r\n"
    ),
    START + b"X-Empty:\r\nX-Tight:a\r\nX-Wide: \t a \t b\r\nX-Latin: caf\xe9\r\n\r\n",
]


def common_and_full(data: bytes) -> tuple[RequestHead | None, RequestHead | tuple[int, str] | None]:
    """Return what the shortcut and the full reader return; they must leave the same bytes."""
    common_buffer, full_buffer = bytearray(data), bytearray(data)
    common = read_common_head(common_buffer)
    full: RequestHead | tuple[int, str] | None
    try:
        full = HeadReader()._read_any_head(full_buffer)
    except RequestError as error:
        full = error.status, error.detail
    assert common_buffer == (full_buffer if common is not None else data)
    return common, full


@pytest.mark.parametrize("head", COMMON_HEADS)
def test_common_heads_take_the_shortcut(head: bytes) -> None:
    common, full = common_and_full(head + NEXT_HEAD)
    assert common is not None
    assert common == full
    assert HeadReader().read(bytearray(head)) == common


@pytest.mark.parametrize(
    "head",
    [
        START + b"X: a\r\nx: b\r\n\r\n",
        START + b"X: a \r\n\r\n",
        START + b"Transfer-Encoding: Chunked\r\n\r\n",
        START + b"Expect: 100-continue\r\n\r\n",
        START + b"Content-Length: 5, 5\r\n\r\n",
        b"\r\n" + START + b"\r\n",
        b"GET http://b/c HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_other_valid_heads_do_not_take_the_shortcut(head: bytes) -> None:
    common, full = common_and_full(head + NEXT_HEAD)
    assert common is None
    assert isinstance(full, RequestHead)


@pytest.mark.parametrize("extra", [0, 1])
def test_the_shortcut_has_the_same_limits(extra: int) -> None:
    padding = b"x" * (limits.HEAD_MAX_BYTES - len(START) - 7 + extra)
    target = b"/" + b"x" * (limits.TARGET_MAX_BYTES - 1 + extra)
    names = [b"X%d:\r\n" % number for number in range(limits.HEADERS_MAX_COUNT - 1 + extra)]
    method = b"M" * (head_module._METHOD_MAX_BYTES + extra)
    for head in (
        START + b"X: " + padding + b"\r\n\r\n",
        b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        START + b"".join(names) + b"\r\n",
        method + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    ):
        common, full = common_and_full(head)
        assert (common is None) is (extra == 1)
        assert isinstance(full, tuple if extra else RequestHead)


HEADS = st.builds(
    lambda method, target, version, lines: (
        method + b" " + target + b" HTTP/" + version + b"\r\n" + b"".join(lines) + b"\r\n"
    ),
    st.sampled_from([b"GET", b"POST", b"M-SEARCH", b"CONNECT"]),
    st.sampled_from([b"/", b"/a?b#c", b"/a?b?c", b"//a", b"http://b/", b"*", b"a:1"]),
    st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0", b"2.0"]),
    st.lists(
        st.builds(
            lambda name, colon, value: name + colon + value + b"\r\n",
            st.sampled_from(
                [
                    *(b"Host", b"host", b"X", b"Y-z", b"Connection", b"Content-Length", b"Expect"),
                    *(b"Transfer-Encoding", b"!#$%", b"Cookie"),
                ]
            ),
            st.sampled_from([b": ", b":", b":\t ", b" :"]),
            st.sampled_from(
                [
                    *(b"a", b"", b"a b", b"a ", b"1", b"5, 5", b"chunked", b"100-continue", b"a/b"),
                    *(b"[::1]:80", b"caf\xe9", b":", b"close"),
                ]
            ),
        ),
        max_size=5,
    ).map(lambda lines: [HOST, *lines]),
)
BYTES = st.sampled_from([bytes([byte]) for byte in b"\r\n \t:/#?\x00\x1f\x7f\x80\xffaZ0,"])


@st.composite
def mutated_heads(draw: st.DrawFn) -> bytes:
    """A head in which up to three bytes were inserted, replaced or deleted."""
    head = draw(HEADS | st.sampled_from(COMMON_HEADS))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(head)))
        end = start + draw(st.integers(0, 1))
        head = head[:start] + draw(BYTES | st.just(b"")) + head[end:]
    return head


@given(mutated_heads())
@settings(deadline=None, max_examples=500)
def test_the_shortcut_agrees_with_the_full_reader(head: bytes) -> None:
    common, full = common_and_full(head + NEXT_HEAD)
    if common is not None:
        assert common == full


def operations(pattern: object) -> Iterator[object]:
    """Return all operations of a parsed regular expression."""
    if isinstance(pattern, sre_parser.SubPattern):
        for operation, argument in pattern:
            yield operation
            yield from operations(argument)
    elif isinstance(pattern, tuple | list):
        for part in pattern:
            yield from operations(part)


@pytest.mark.parametrize("name", ["_COMMON_HEAD", "_COMMON_HEADER"])
def test_the_shortcut_cannot_backtrack(name: str) -> None:
    """Without a choice to go back to, matching takes linear time on any input."""
    parsed = sre_parser.parse(getattr(head_module, name).pattern)
    found = set(operations(parsed))
    assert sre.POSSESSIVE_REPEAT in found
    assert found.isdisjoint({sre.MAX_REPEAT, sre.MIN_REPEAT, sre.BRANCH})


@pytest.mark.parametrize("end", [b"", b"\x01\r\n\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize("run", [b" ", b"\t ", b"x", b":", b"x:", b"X:\r\n", b"\r\n", b"\xff"])
def test_long_runs(run: bytes, end: bytes) -> None:
    for start in (b"", LINE, START + b"X:", START + b"X: y"):
        common, full = common_and_full(start + run * (15_000 // len(run)) + end)
        assert common is None or common == full
