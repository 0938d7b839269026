"""headrace.protocol.websocket.handshake, with wsproto's client as the other side."""

import contextlib

import pytest
import wsproto
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.client_bytes import byte_by_byte
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection
from wsproto.events import Request as ClientRequest
from wsproto.extensions import PerMessageDeflate

from headrace.errors import RequestError
from headrace.protocol.http import HttpConnection, RequestHead
from headrace.protocol.websocket.handshake import Handshake, is_upgrade, read_handshake

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 section 1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

FIELDS = {
    "Host": "a",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
EXTENSIONS = "sec-websocket-extensions"
PROTOCOLS = "sec-websocket-protocol"
ACCEPTED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def request_with(
    *more: tuple[str, str], start: str = "GET / HTTP/1.1", **instead: str
) -> RequestHead:
    """Return a handshake; `instead` replaces header values, an empty one omits the header."""
    fields = {name: instead.get(name.replace("-", "_"), value) for name, value in FIELDS.items()}
    lines = [start, *(f"{name}: {value}" for name, value in [*fields.items(), *more] if value)]
    connection = HttpConnection()
    connection.receive_data(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    request = connection.next_event()
    assert isinstance(request, RequestHead)
    return request


def refusal(request: RequestHead) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_handshake(request)
    return caught.value


def test_the_example_of_rfc_6455() -> None:
    handshake = read_handshake(request_with((PROTOCOLS, "chat, superchat")))
    assert handshake == Handshake(ACCEPT, ("chat", "superchat"), deflate=False)
    assert handshake.response_headers("chat") == [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", ACCEPT),
        ("sec-websocket-protocol", "chat"),
    ]


def test_the_response_accepts_only_offers() -> None:
    handshake = read_handshake(request_with((PROTOCOLS, "chat")))
    assert (PROTOCOLS, "chat") not in handshake.response_headers(None)
    with pytest.raises(ValueError, match="'other'"):
        handshake.response_headers("other")
    with pytest.raises(ValueError, match="permessage-deflate"):
        handshake.response_headers(None, deflate=True)


@pytest.mark.parametrize("subprotocol", [None, "headrace.v1"])
@pytest.mark.parametrize("offer", [[], [PerMessageDeflate()]])
def test_wsproto_accepts_the_response(
    subprotocol: str | None, offer: list[PerMessageDeflate]
) -> None:
    client = wsproto.WSConnection(ConnectionType.CLIENT)
    request = ClientRequest(
        host="a", target="/", subprotocols=["headrace.v1", "x"], extensions=list(offer)
    )
    sent = client.send(request)
    # wsproto asks for a server window, which frames shared by all clients cannot keep.
    sent = sent.replace(b"; server_max_window_bits=15", b"")
    for chunks in ([sent], byte_by_byte(sent), [sent + b"\x81\x80abcd"]):
        connection = HttpConnection()
        for chunk in chunks:
            connection.receive_data(chunk)
            if head := connection.next_event():
                break
        assert isinstance(head, RequestHead)
        handshake = read_handshake(head)
        assert handshake.subprotocols == ("headrace.v1", "x")
        assert handshake.deflate is bool(offer)
        response = connection.upgrade(handshake.response_headers(subprotocol, deflate=bool(offer)))
    client.receive_data(response)
    (accepted,) = client.events()
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == subprotocol
    assert len(accepted.extensions) == len(offer)


# --- the request ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instead", "expected"),
    [
        ({}, True),
        ({"Upgrade": "h2c, WebSocket", "Connection": "keep-alive, UPGRADE"}, True),
        ({"Upgrade": "h2c"}, False),
        ({"Upgrade": ""}, False),
        ({"Connection": "keep-alive"}, False),
        ({"Connection": ""}, False),
    ],
)
def test_is_upgrade(instead: dict[str, str], expected: bool) -> None:
    request = request_with(**instead)
    assert is_upgrade(request) is expected
    if not expected:
        error = refusal(request)
        assert error.status == 426
        assert error.headers == (("upgrade", "websocket"), ("connection", "upgrade"))


def test_426_not_get() -> None:
    assert refusal(request_with(start="POST / HTTP/1.1")).status == 426


def test_400_http_1_0() -> None:
    assert refusal(request_with(start="GET / HTTP/1.0")).status == 400


def test_400_a_body() -> None:
    assert refusal(request_with(("Content-Length", "1"))).status == 400
    assert refusal(request_with(("Transfer-Encoding", "chunked"))).status == 400


@pytest.mark.parametrize("version", ["", "8", "12", "14", "013", "13, 8"])
def test_426_other_versions(version: str) -> None:
    """RFC 6455 section 4.4."""
    error = refusal(request_with(Sec_WebSocket_Version=version))
    assert error.status == 426
    assert ("sec-websocket-version", "13") in error.headers
    assert ("upgrade", "websocket") in error.headers


@pytest.mark.parametrize(
    "key", ["", "x", KEY[:-1], KEY[:-4], KEY + "=", "dGhlIHNhbXBsZSBub25j", "\xe9" + KEY[1:]]
)
def test_400_keys_that_wsproto_accepts(key: str) -> None:
    assert refusal(request_with(Sec_WebSocket_Key=key)).status == 400


def test_400_two_keys() -> None:
    assert refusal(request_with(("Sec-WebSocket-Key", KEY))).status == 400


def test_400_a_host_that_is_not_ascii() -> None:
    with pytest.raises(RequestError) as caught:
        request_with(Host="b\xfccher.example")
    assert caught.value.status == 400


# --- subprotocols --------------------------------------------------------------------------------


def test_subprotocols_in_several_headers() -> None:
    """RFC 6455 section 11.3.4."""
    request = request_with((PROTOCOLS, "headrace.v1"), (PROTOCOLS, "headrace.token.a-b_c.d.e"))
    assert read_handshake(request).subprotocols == ("headrace.v1", "headrace.token.a-b_c.d.e")


@pytest.mark.parametrize("offered", [",", "a b", "a, a", "a/b", "a,\xe9", "a;b", '"a"'])
def test_400_malformed_subprotocols(offered: str) -> None:
    error = refusal(request_with((PROTOCOLS, offered)))
    assert error.status == 400
    assert offered not in error.detail


# --- extensions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        ("permessage-deflate", True),
        ("permessage-deflate; client_max_window_bits", True),
        ("permessage-deflate; client_max_window_bits=8", True),
        ('permessage-deflate ;client_max_window_bits = "15"', True),
        ("permessage-deflate; client_no_context_takeover; server_no_context_takeover", True),
        ("permessage-deflate; server_max_window_bits=10", False),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", True),
        ("x-webkit-deflate-frame, permessage-deflate", True),
        ("foo; bar=1; bar=2, , permessage-deflate,", True),
        ("foo", False),
        ("PERMESSAGE-DEFLATE", False),
    ],
)
def test_deflate(offer: str, expected: bool) -> None:
    handshake = read_handshake(request_with((EXTENSIONS, offer)))
    assert handshake.deflate is expected
    if expected:
        assert (EXTENSIONS, ACCEPTED) in handshake.response_headers(None, deflate=True)
        assert EXTENSIONS not in dict(handshake.response_headers(None))


def test_deflate_in_several_headers() -> None:
    request = request_with((EXTENSIONS, "foo"), (EXTENSIONS, "permessage-deflate"))
    assert read_handshake(request).deflate


@pytest.mark.parametrize(
    "parameters",
    [
        "unknown",
        "client_max_window_bits=x",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        "client_max_window_bits=+9",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=1e1",
        "client_no_context_takeover=1",
        "server_no_context_takeover=true",
        "client_no_context_takeover; client_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
    ],
)
def test_400_deflate_parameters_that_wsproto_accepts_or_fails_on(parameters: str) -> None:
    for before in ("", "permessage-deflate, "):
        offer = f"{before}permessage-deflate; {parameters}"
        assert refusal(request_with((EXTENSIONS, offer))).status == 400


@pytest.mark.parametrize(
    "offer", ["a b", ";a", "a;", "a;;b", "a=b", "a;b=", "a;=b", 'a;b="c', 'a;b="c d"', "a;b=c=d"]
)
def test_400_malformed_extensions(offer: str) -> None:
    assert refusal(request_with((EXTENSIONS, offer))).status == 400


HEADER_TEXT = st.lists(
    st.sampled_from(
        [
            *(",", ";", "=", " ", '"', "a", "permessage-deflate", "client_max_window_bits", "15"),
            *("server_no_context_takeover", "13", KEY, "websocket", "upgrade", "\xe9"),
        ]
    ),
    max_size=8,
).map("".join)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([EXTENSIONS, PROTOCOLS, "sec-websocket-key", "upgrade", "connection"]),
            HEADER_TEXT,
        ),
        max_size=4,
    )
)
@settings(deadline=None)
def test_any_headers_are_accepted_or_refused(headers: list[tuple[str, str]]) -> None:
    """RequestError is the only exception."""
    fields = [(name.lower(), value) for name, value in FIELDS.items()]
    for fields_first in (True, False):
        ordered = [*fields, *headers] if fields_first else [*headers, *fields]
        request = RequestHead.from_headers("GET", "/", "/", "", ordered)
        with contextlib.suppress(RequestError):
            handshake = read_handshake(request)
            assert handshake.accept
            assert all(handshake.subprotocols)
