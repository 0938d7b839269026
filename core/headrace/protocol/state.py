"""The states of an HTTP connection, and the table of what leads from one to another."""

from enum import Enum
from typing import Final


class State(Enum):
    """Where a connection stands; the value completes "while …"."""

    IDLE = "no request is there"
    HEAD = "a request's head is partly there"
    BODY = "a request's body is partly there and no answer has begun"
    EARLY = "an answer has begun and the request's body is partly there"
    ANSWERING = "a whole request waits for its answer"
    STREAMING = "the answer to a whole request has begun"
    REFUSED = "a malformed request waits for its answer"
    UPGRADED = "the connection speaks another protocol"
    CLOSED = "the connection is to be closed"


class Step(Enum):
    """What moves a connection; the value begins "… while"."""

    RECEIVE = "receiving bytes"
    SKIP = "skipping an empty line"
    REQUEST = "taking a request"
    END = "ending a request"
    REFUSE = "refusing a request"
    RESPOND = "answering"
    START = "starting an answer"
    SEND = "sending a piece of an answer"
    FINISH = "ending an answer"
    UPGRADE = "upgrading"
    CLOSE = "closing"


NEXT: Final = {
    (State.IDLE, Step.RECEIVE): State.HEAD,
    (State.IDLE, Step.RESPOND): State.CLOSED,  # 503 or 408 to whoever asked nothing
    (State.IDLE, Step.CLOSE): State.CLOSED,
    (State.HEAD, Step.SKIP): State.IDLE,
    (State.HEAD, Step.REQUEST): State.BODY,
    (State.HEAD, Step.REFUSE): State.REFUSED,
    (State.HEAD, Step.RESPOND): State.CLOSED,  # 408
    (State.HEAD, Step.CLOSE): State.CLOSED,
    (State.BODY, Step.END): State.ANSWERING,
    (State.BODY, Step.REFUSE): State.REFUSED,
    (State.BODY, Step.RESPOND): State.CLOSED,  # the rest of the body stays unread
    (State.BODY, Step.START): State.EARLY,
    (State.EARLY, Step.SEND): State.EARLY,
    (State.EARLY, Step.END): State.STREAMING,
    (State.EARLY, Step.REFUSE): State.STREAMING,  # no second answer: the first can say it
    (State.EARLY, Step.FINISH): State.CLOSED,
    (State.ANSWERING, Step.RESPOND): State.IDLE,
    (State.ANSWERING, Step.START): State.STREAMING,
    (State.ANSWERING, Step.UPGRADE): State.UPGRADED,
    (State.STREAMING, Step.SEND): State.STREAMING,
    (State.STREAMING, Step.FINISH): State.IDLE,
    (State.REFUSED, Step.RESPOND): State.CLOSED,
}
"""An answer that leads to IDLE goes on to CLOSED when the connection cannot be kept."""
