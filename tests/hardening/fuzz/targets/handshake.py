"""`read_handshake`, for request heads as a client sends them."""

import base64
import contextlib
import hashlib

from hypothesis import strategies as st
from tests.hardening.fuzz.target import Target

from headrace.api.credentials import find_token, position_param
from headrace.errors import InputError, RequestError
from headrace.protocol.http import HttpConnection, RequestHead
from headrace.protocol.websocket import read_handshake

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


def check(data: bytes) -> None:
    connection = HttpConnection()
    if data:
        connection.receive_data(data)
    try:
        head = connection.next_event()
    except RequestError:
        return
    if not isinstance(head, RequestHead):
        return
    find_token(head)
    with contextlib.suppress(InputError):
        position_param(head, "last_id")
    try:
        handshake = read_handshake(head)
    except RequestError as error:
        if error.status not in (400, 426):
            raise
        return
    assert head.method == "GET"
    assert head.http_version == "1.1"
    key = head.header("sec-websocket-key")
    assert key is not None
    assert len(base64.b64decode(key, validate=True)) == 16
    expected = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())
    assert handshake.accept.encode() == expected
    for subprotocol in (None, *handshake.subprotocols):
        headers = handshake.response_headers(subprotocol, deflate=handshake.deflate)
        assert all(value.isascii() and value.isprintable() for _, value in headers)
    response = connection.upgrade(handshake.response_headers(None))
    assert response.startswith(b"HTTP/1.1 101 ")


# --- inputs --------------------------------------------------------------------------------------

VALID = (
    "Host: a",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: c2l4dGVlbiBieXRlcy4uLg==",
)
OFFERS = st.sampled_from(
    [
        *("permessage-deflate", "x", "server_max_window_bits=10", "client_max_window_bits", "a=b"),
        *('client_max_window_bits="15"', "server_no_context_takeover", ",", ";", "=", '"', " \t"),
    ]
)
OTHER = st.one_of(
    st.sampled_from(
        [
            *(
                "Upgrade: h2c, WebSocket",
                "Connection: keep-alive, upgrade",
                "Upgrade: x",
                "Host: b",
            ),
            *("Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: 13, 8", "Sec-WebSocket-Key: x"),
            *(
                "Sec-WebSocket-Key: c2l4dGVlbiBieXRlcy4uLg=",
                "Content-Length: 0",
                "Content-Length: 1",
            ),
            *(
                "Sec-WebSocket-Protocol: a, b",
                "Sec-WebSocket-Protocol: a, a",
                "Sec-WebSocket-Protocol:",
            ),
            *(
                "Sec-WebSocket-Protocol: headrace.v1, headrace.token.x.y.z",
                "Authorization: Bearer x",
            ),
        ]
    ),
    st.lists(OFFERS, max_size=8).map(lambda parts: "Sec-WebSocket-Extensions: " + "; ".join(parts)),
    st.lists(OFFERS, max_size=8).map(lambda parts: "Sec-WebSocket-Extensions: " + "".join(parts)),
    st.text(st.characters(codec="latin-1"), max_size=30).map("Sec-WebSocket-Extensions: {}".format),
    st.text(st.characters(codec="latin-1"), max_size=30).map("Sec-WebSocket-Protocol: {}".format),
)
TARGETS = st.sampled_from(
    ["/", "/v1/connect?last_id=1-0", "/?token=%zz&last_id=%ff", "/?last_id=1"]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    lines = [line for line in VALID if draw(st.integers(0, 15))]
    lines += draw(st.lists(OTHER, max_size=3))
    request_line = (
        f"{draw(st.sampled_from(['GET'] * 8 + ['POST', 'HEAD']))} {draw(TARGETS)} HTTP/1.1"
    )
    return "\r\n".join([request_line, *lines, "", ""]).encode("latin-1")


TARGET = Target(
    "handshake",
    check,
    heads(),
    (
        *(line.encode() + b"\r\n" for line in VALID),
        b"Sec-WebSocket-Extensions: permessage-deflate",
        b"; client_max_window_bits",
        b"; server_max_window_bits=",
        b"Sec-WebSocket-Protocol: headrace.v1",
        b", ",
        b'="',
    ),
)
