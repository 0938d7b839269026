"""The server side of the WebSocket opening handshake (RFC 6455 section 4.2, RFC 7692).

Compression is agreed without context takeover in both directions. A compressed frame is then the
same bytes for every client, and no connection keeps a window (wsproto's takes 90 KiB).
"""

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from wsproto.utilities import generate_accept_token

from headrace.errors import RequestError
from headrace.protocol.http.events import RequestHead

_DEFLATE: Final = "permessage-deflate"
_DEFLATE_RESPONSE: Final = f"{_DEFLATE}; server_no_context_takeover; client_no_context_takeover"

# RFC 9110 sections 7.8 and 15.5.22: a 101 and a 426 name the protocol in Upgrade, and list Upgrade
# as a connection option.
_UPGRADE_HEADERS: Final = (("upgrade", "websocket"), ("connection", "upgrade"))

_TCHARS: Final = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"  # RFC 9110 section 5.6.2
_TOKEN: Final = re.compile(_TCHARS)
_KEY: Final = re.compile(r"[+/0-9A-Za-z]{22}==")  # 16 bytes in base64
_WINDOW_BITS: Final = re.compile(r"[89]|1[0-5]")
# RFC 6455 section 9.1: "," and an extension's name, or ";" and a parameter. A value can be quoted,
# but its content must be a token.
_EXTENSION_PART: Final = re.compile(
    rf"(,[ \t,]*|;[ \t]*)({_TCHARS})(?:[ \t]*=[ \t]*(\"?)({_TCHARS})\3)?[ \t]*"
)

_Offer: TypeAlias = tuple[str, list[tuple[str, str | None]]]


@dataclass(frozen=True, slots=True)
class Handshake:
    """A valid handshake of a client.

    `accept` is the Sec-WebSocket-Accept value. `subprotocols` are those offered, in the client's
    order of preference. `deflate` is True if the client made an acceptable permessage-deflate
    offer.
    """

    accept: str
    subprotocols: tuple[str, ...]
    deflate: bool

    def response_headers(
        self, subprotocol: str | None, *, deflate: bool = False
    ) -> list[tuple[str, str]]:
        """Return the headers of the 101 response.

        `subprotocol` is one of those offered, or None. `deflate=True` accepts compression. Raises
        ValueError for a subprotocol or a compression that was not offered, because the client would
        have to fail the connection (RFC 6455 section 4.1).
        """
        headers = [*_UPGRADE_HEADERS, ("sec-websocket-accept", self.accept)]
        if subprotocol is not None:
            if subprotocol not in self.subprotocols:
                raise ValueError(f"the client did not offer the subprotocol {subprotocol!r}")
            headers.append(("sec-websocket-protocol", subprotocol))
        if deflate:
            if not self.deflate:
                raise ValueError("the client made no acceptable permessage-deflate offer")
            headers.append(("sec-websocket-extensions", _DEFLATE_RESPONSE))
        return headers


def is_upgrade(request: RequestHead) -> bool:
    """Return True if the request asks for a WebSocket (RFC 6455 section 4.2.1, points 3 and 4)."""
    return _lists(request, "upgrade", "websocket") and _lists(request, "connection", "upgrade")


def read_handshake(request: RequestHead) -> Handshake:
    """Check a client's handshake (RFC 6455 section 4.2.1).

    Raises RequestError: 426 for a request other than a WebSocket upgrade by GET, and for a version
    other than 13; 400 for HTTP/1.0, a body, a key that is not 16 bytes in base64, a malformed list
    of subprotocols or extensions, and permessage-deflate parameters that RFC 7692 section 7.1 does
    not define.
    """
    if request.method != "GET" or not is_upgrade(request):
        raise RequestError(426, "This is a WebSocket; connect to it with GET.", _UPGRADE_HEADERS)
    if request.http_version != "1.1":
        raise RequestError(400, "A WebSocket handshake needs HTTP/1.1.")
    if request.expects_body:
        raise RequestError(400, "A WebSocket handshake has no body.")
    if request.header_list("sec-websocket-version") != ["13"]:
        raise RequestError(
            426,
            "The only supported WebSocket version is 13.",
            (*_UPGRADE_HEADERS, ("sec-websocket-version", "13")),
        )
    keys = [value for name, value in request.headers if name == "sec-websocket-key"]
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise RequestError(400, "Sec-WebSocket-Key is not 16 bytes in base64.")
    return Handshake(
        accept=generate_accept_token(keys[0].encode("ascii")).decode("ascii"),
        subprotocols=_subprotocols(request),
        deflate=_has_deflate_offer(request),
    )


def _lists(request: RequestHead, header: str, element: str) -> bool:
    return any(found.lower() == element for found in request.header_list(header))


def _subprotocols(request: RequestHead) -> tuple[str, ...]:
    """Return the offered subprotocols (RFC 6455 section 4.1, point 10: tokens without repeats)."""
    if "sec-websocket-protocol" not in request.fields:
        return ()
    offered = request.header_list("sec-websocket-protocol")
    if (
        not offered
        or len(set(offered)) != len(offered)
        or not all(_TOKEN.fullmatch(name) for name in offered)
    ):
        # The text does not quote the header: it may hold a client's token.
        raise RequestError(400, "Sec-WebSocket-Protocol is not a list of different tokens.")
    return tuple(offered)


def _has_deflate_offer(request: RequestHead) -> bool:
    """Return True if a permessage-deflate offer is acceptable."""
    # Check all offers: a malformed one is refused even if an earlier one is acceptable.
    checked = [
        _is_acceptable(parameters) for name, parameters in _offers(request) if name == _DEFLATE
    ]
    return True in checked


def _offers(request: RequestHead) -> list[_Offer]:
    """Return the offered extensions, each with its parameters."""
    lines = [value for name, value in request.headers if name == "sec-websocket-extensions"]
    if not lines:
        return []
    text = ",".join(["", *lines]).rstrip(" \t,")
    offers: list[_Offer] = []
    position = 0
    while position < len(text):
        match = _EXTENSION_PART.match(text, position)
        if match is None or (match[1][0] == "," and match[4] is not None):
            raise RequestError(400, "Sec-WebSocket-Extensions is malformed.")
        if match[1][0] == ",":
            offers.append((match[2], []))
        else:
            offers[-1][1].append((match[2], match[4]))
        position = match.end()
    return offers


def _is_acceptable(parameters: list[tuple[str, str | None]]) -> bool:
    """Check the parameters of an offer (RFC 7692 section 7.1); return False to decline it."""
    names = [name for name, _ in parameters]
    if len(set(names)) != len(names):
        raise RequestError(400, f"{_DEFLATE} has a repeated parameter.")
    for name, value in parameters:
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            valid = value is None
        elif name == "server_max_window_bits":
            valid = value is not None and _WINDOW_BITS.fullmatch(value) is not None
        elif name == "client_max_window_bits":
            valid = value is None or _WINDOW_BITS.fullmatch(value) is not None
        else:
            valid = False
        if not valid:
            raise RequestError(
                400, f"{_DEFLATE} has an unknown parameter or a window outside 8 to 15."
            )
    # Section 7.1.2.1: accepting it limits our window, and the shared frames use the full window.
    return "server_max_window_bits" not in names
