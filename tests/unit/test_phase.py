"""headrace.server.phase: what an HTTP connection is about, and what follows."""

import itertools

import pytest

from headrace.errors import StateError
from headrace.server.phase import Phase, after

READING, YIELDING, WORKING, EXCHANGING, OVER = Phase
FOLLOWS = {
    *((READING, other) for other in (YIELDING, WORKING, EXCHANGING)),
    *((other, READING) for other in (YIELDING, WORKING, EXCHANGING)),
    *((phase, OVER) for phase in Phase),
}


@pytest.mark.parametrize(("phase", "following"), [*itertools.product(Phase, repeat=2)])
def test_what_follows(phase: Phase, following: Phase) -> None:
    if (phase, following) in FOLLOWS:
        assert after(phase, following) is following
    else:
        with pytest.raises(StateError, match=f"from {phase.value} to {following.value}"):
            after(phase, following)
