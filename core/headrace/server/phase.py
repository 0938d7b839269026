"""What an `HttpProtocol` is about, and what follows.

    phase       bytes       what is next
    READING     are parsed  a request that is answered at once           READING
                            one whose handler has to wait                WORKING
                            one whose body streams to its handler        EXCHANGING
                            more in one read than a turn has room for    YIELDING
                            one that opens a stream, or the last answer  OVER
    YIELDING    wait        its turn                                     READING
    WORKING     wait        the answer                                   READING
    EXCHANGING  are parsed  the end of the answer                        READING
    OVER        -

From everywhere it is OVER when the transport is lost. Else the transport is another protocol's in
OVER: a stream's, or after the last answer a `LingeringProtocol`'s.

That the peer does not read its answers is no phase, but a fact beside it: until it reads again no
further request is taken, and an exchange makes no further piece.
"""

from enum import Enum
from typing import Final

from headrace.errors import StateError


class Phase(Enum):
    """See the table above."""

    READING = "reading"
    YIELDING = "yielding"
    WORKING = "working"
    EXCHANGING = "exchanging"
    OVER = "over"


_NEXT: Final = {
    Phase.READING: (Phase.YIELDING, Phase.WORKING, Phase.EXCHANGING, Phase.OVER),
    Phase.YIELDING: (Phase.READING, Phase.OVER),
    Phase.WORKING: (Phase.READING, Phase.OVER),
    Phase.EXCHANGING: (Phase.READING, Phase.OVER),
    Phase.OVER: (Phase.OVER,),  # lost after the last answer
}


def after(phase: Phase, following: Phase) -> Phase:
    """Return `following`; StateError where it cannot follow."""
    if following not in _NEXT[phase]:
        raise StateError(f"an HTTP connection does not go from {phase.value} to {following.value}")
    return following
