"""The phases of an `HttpProtocol`.

    phase            bytes           next phase
    READING          are parsed      READING after a request that is answered at once
                                     WAITING if this connection has used its share of the tick
                                     RESPONDING if the handler runs in a task
                                     STREAMING if the body streams to the handler
                                     DONE after an upgrade, or after the last response
    WAITING          are buffered    READING when its turn has come
    RESPONDING       are not read    READING after the response
    STREAMING        are parsed      READING at the end of the response
    DONE             -

A new connection goes to WAITING with its first bytes, since thousands may arrive together. Every
phase goes to DONE when the transport is lost. In DONE the transport otherwise belongs to another
protocol: a stream's, or a `LingeringProtocol` after the last response.

Whether the peer reads its responses is not a phase but a separate fact: while it does not, no
further request is taken, and a streamed response produces no further pieces.
"""

from enum import Enum
from typing import Final

from headrace.errors import StateError


class HttpPhase(Enum):
    """See the table above."""

    READING = "reading"
    WAITING = "waiting for its turn"
    RESPONDING = "responding"
    STREAMING = "streaming"
    DONE = "done"

    __hash__ = object.__hash__  # Enum's own is a Python function, and the table is on the hot path


_NEXT: Final = {
    HttpPhase.READING: (
        HttpPhase.WAITING,
        HttpPhase.RESPONDING,
        HttpPhase.STREAMING,
        HttpPhase.DONE,
    ),
    HttpPhase.WAITING: (HttpPhase.READING, HttpPhase.DONE),
    HttpPhase.RESPONDING: (HttpPhase.READING, HttpPhase.DONE),
    HttpPhase.STREAMING: (HttpPhase.READING, HttpPhase.DONE),
    HttpPhase.DONE: (HttpPhase.DONE,),  # lost after the last response
}


def next_phase(phase: HttpPhase, following: HttpPhase) -> HttpPhase:
    """Return `following`; raise StateError if it cannot follow `phase`."""
    if following not in _NEXT[phase]:
        raise StateError(f"an HTTP connection cannot go from {phase.value} to {following.value}")
    return following
