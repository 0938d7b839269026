"""server/connections/http_phases.py: which phase can follow which."""

import itertools

import pytest

from headrace.errors import StateError
from headrace.server.connections.http_phases import HttpPhase, next_phase

READING, WAITING, RESPONDING, STREAMING, DONE = HttpPhase
BUSY = (WAITING, RESPONDING, STREAMING)
ALLOWED = {
    *((READING, phase) for phase in BUSY),
    *((phase, READING) for phase in BUSY),
    *((phase, DONE) for phase in HttpPhase),
}


@pytest.mark.parametrize(("phase", "following"), [*itertools.product(HttpPhase, repeat=2)])
def test_every_pair_of_phases(phase: HttpPhase, following: HttpPhase) -> None:
    if (phase, following) in ALLOWED:
        assert next_phase(phase, following) is following
    else:
        with pytest.raises(StateError, match=f"from {phase.value} to {following.value}"):
            next_phase(phase, following)
