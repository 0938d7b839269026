"""The server's half of a WebSocket's opening handshake (RFC 6455 section 4.2, RFC 7692).

Compression is agreed without context takeover in both directions: one compressed frame is then
the same bytes for every client, and no socket keeps a window (wsproto's costs 90 KiB).
"""

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from wsproto.utilities import generate_accept_token

from headrace.errors import RequestError
from headrace.protocol.request import Request

_DEFLATE: Final = "permessage-deflate"
_DEFLATE_ANSWER: Final = f"{_DEFLATE}; server_no_context_takeover; client_no_context_takeover"

# RFC 9110 section 15.5.22: a 426 says what to upgrade to; section 7.8: and names it an option.
_UPGRADE: Final = (("upgrade", "websocket"), ("connection", "upgrade"))

_WORD: Final = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"  # a token of RFC 9110 section 5.6.2
_IS_WORD: Final = re.compile(_WORD)
_KEY: Final = re.compile(r"[+/0-9A-Za-z]{22}==")  # 16 bytes in base64
_WINDOW_BITS: Final = re.compile(r"[89]|1[0-5]")
# RFC 6455 section 9.1, cut before each extension and each parameter; section 9.1 lets a value be
# quoted, but only if it is a token inside.
_EXTENSION_PART: Final = re.compile(
    rf"(,[ \t,]*|;[ \t]*)({_WORD})(?:[ \t]*=[ \t]*(\"?)({_WORD})\3)?[ \t]*"
)

_Offer: TypeAlias = tuple[str, list[tuple[str, str | None]]]


@dataclass(frozen=True, slots=True)
class Handshake:
    """A handshake that can be answered.

    `accept` is the Sec-WebSocket-Accept value. `subprotocols` are those offered, in the client's
    order of preference. `deflate` says that an acceptable permessage-deflate offer is there.
    """

    accept: str
    subprotocols: tuple[str, ...]
    deflate: bool

    def answer(self, subprotocol: str | None, *, deflate: bool = False) -> list[tuple[str, str]]:
        """Return the headers of the 101.

        `subprotocol` is one of the offered, or None for none. `deflate` agrees to compression.
        Raises ValueError for either that was not offered, because the client would have to fail
        the connection (RFC 6455 section 4.1).
        """
        headers = [*_UPGRADE, ("sec-websocket-accept", self.accept)]
        if subprotocol is not None:
            if subprotocol not in self.subprotocols:
                raise ValueError(f"the client did not offer the subprotocol {subprotocol!r}")
            headers.append(("sec-websocket-protocol", subprotocol))
        if deflate:
            if not self.deflate:
                raise ValueError("the client did not offer a permessage-deflate we can agree to")
            headers.append(("sec-websocket-extensions", _DEFLATE_ANSWER))
        return headers


def is_upgrade(request: Request) -> bool:
    """Return whether the request asks for a WebSocket (RFC 6455 section 4.2.1, points 3 and 4)."""
    return _holds(request, "upgrade", "websocket") and _holds(request, "connection", "upgrade")


def read_handshake(request: Request) -> Handshake:
    """Check a client's handshake (RFC 6455 section 4.2.1).

    Raises RequestError: 426 when it is no WebSocket upgrade by GET, or not version 13; 400 for
    HTTP/1.0, a body, a key that is not 16 bytes of base64, a malformed list of subprotocols or
    extensions, and permessage-deflate parameters that RFC 7692 section 7.1 does not have.
    """
    if request.method != "GET" or not is_upgrade(request):
        raise RequestError(426, "This is a WebSocket; connect to it with GET.", _UPGRADE)
    if request.http_version != "1.1":
        raise RequestError(400, "A WebSocket handshake needs HTTP/1.1.")
    if request.expects_body:
        raise RequestError(400, "A WebSocket handshake has no body.")
    if request.header_list("sec-websocket-version") != ["13"]:
        raise RequestError(
            426,
            "The only WebSocket version spoken here is 13.",
            (*_UPGRADE, ("sec-websocket-version", "13")),
        )
    keys = [value for name, value in request.headers if name == "sec-websocket-key"]
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise RequestError(400, "Sec-WebSocket-Key is not 16 bytes in base64.")
    return Handshake(
        accept=generate_accept_token(keys[0].encode("ascii")).decode("ascii"),
        subprotocols=_subprotocols(request),
        deflate=_deflate(request),
    )


def _holds(request: Request, header: str, word: str) -> bool:
    return any(found.lower() == word for found in request.header_list(header))


def _subprotocols(request: Request) -> tuple[str, ...]:
    """Return the offered subprotocols (RFC 6455 section 4.1, point 10: tokens, each once)."""
    if request.header("sec-websocket-protocol") is None:
        return ()
    offered = request.header_list("sec-websocket-protocol")
    if (
        not offered
        or len(set(offered)) != len(offered)
        or not all(_IS_WORD.fullmatch(name) for name in offered)
    ):
        # The text leaves them out: one of them may be a token.
        raise RequestError(400, "Sec-WebSocket-Protocol is not a list of different tokens.")
    return tuple(offered)


def _deflate(request: Request) -> bool:
    """Return whether a permessage-deflate offer is there that our answer fits."""
    # All are looked at, so that a malformed later one is refused although an earlier one would do.
    fitting = [_fits(parameters) for name, parameters in _offers(request) if name == _DEFLATE]
    return True in fitting


def _offers(request: Request) -> list[_Offer]:
    """Return the extensions offered, each with its parameters."""
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


def _fits(parameters: list[tuple[str, str | None]]) -> bool:
    """Check one offer's parameters (RFC 7692 section 7.1); return whether our answer fits it."""
    names = [name for name, _ in parameters]
    if len(set(names)) != len(names):
        raise RequestError(400, f"{_DEFLATE} has a parameter twice.")
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
                400, f"{_DEFLATE} has a parameter that is unknown, or not in 8 to 15."
            )
    # Section 7.1.2.1: to accept it is to promise a window, and the shared frames use the full one.
    return "server_max_window_bits" not in names
