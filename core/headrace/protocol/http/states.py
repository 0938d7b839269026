"""The states of an HTTP connection, and the table of all transitions between them."""

from enum import Enum
from typing import Final


class HttpState(Enum):
    """The state of a connection; the value completes "while …" in an error text."""

    __hash__ = object.__hash__  # Enum's own is a Python function, called at each table lookup

    IDLE = "no request has begun"
    HEAD = "the request head is incomplete"
    BODY = "the request body is incomplete and no response has begun"
    EARLY = "a response has begun and the request body is incomplete"
    ANSWERING = "a complete request waits for its response"
    STREAMING = "the response to a complete request has begun"
    REFUSED = "a malformed request waits for its error response"
    UPGRADED = "the connection has changed to another protocol"
    CLOSED = "the connection must be closed"


class HttpStep(Enum):
    """What changes the state; the value completes "… while" in an error text."""

    __hash__ = object.__hash__

    RECEIVE = "receiving bytes"
    SKIP = "skipping an empty line"
    REQUEST_HEAD = "reading a request head"
    WHOLE_REQUEST = "reading a whole request"
    END_OF_REQUEST = "reading the end of a request"
    REFUSE = "refusing a request"
    RESPOND = "sending a response"
    START = "starting a response"
    SEND = "sending a piece of a response body"
    FINISH = "ending a response"
    UPGRADE = "upgrading"
    CLOSE = "closing"


TRANSITIONS: Final = {
    (HttpState.IDLE, HttpStep.RECEIVE): HttpState.HEAD,
    (HttpState.IDLE, HttpStep.RESPOND): HttpState.CLOSED,  # 503 or 408, without a request
    (HttpState.IDLE, HttpStep.CLOSE): HttpState.CLOSED,
    (HttpState.HEAD, HttpStep.SKIP): HttpState.IDLE,
    (HttpState.HEAD, HttpStep.REQUEST_HEAD): HttpState.BODY,
    (HttpState.HEAD, HttpStep.WHOLE_REQUEST): HttpState.ANSWERING,
    (HttpState.HEAD, HttpStep.REFUSE): HttpState.REFUSED,
    (HttpState.HEAD, HttpStep.RESPOND): HttpState.CLOSED,  # 408
    (HttpState.HEAD, HttpStep.CLOSE): HttpState.CLOSED,
    (HttpState.BODY, HttpStep.END_OF_REQUEST): HttpState.ANSWERING,
    (HttpState.BODY, HttpStep.REFUSE): HttpState.REFUSED,
    (HttpState.BODY, HttpStep.RESPOND): HttpState.CLOSED,  # the rest of the body is not read
    (HttpState.BODY, HttpStep.START): HttpState.EARLY,
    (HttpState.EARLY, HttpStep.SEND): HttpState.EARLY,
    (HttpState.EARLY, HttpStep.END_OF_REQUEST): HttpState.STREAMING,
    # The response that has begun is the only one: the caller can still end it.
    (HttpState.EARLY, HttpStep.REFUSE): HttpState.STREAMING,
    (HttpState.EARLY, HttpStep.FINISH): HttpState.CLOSED,
    (HttpState.ANSWERING, HttpStep.RESPOND): HttpState.IDLE,
    (HttpState.ANSWERING, HttpStep.START): HttpState.STREAMING,
    (HttpState.ANSWERING, HttpStep.UPGRADE): HttpState.UPGRADED,
    (HttpState.STREAMING, HttpStep.SEND): HttpState.STREAMING,
    (HttpState.STREAMING, HttpStep.FINISH): HttpState.IDLE,
    (HttpState.REFUSED, HttpStep.RESPOND): HttpState.CLOSED,
}
"""A response that leads to IDLE leads on to CLOSED if the connection cannot be kept alive, and to
HEAD if bytes of the next request are there."""
