"""hub/lifecycle.py: every operation in every state."""

import itertools

import pytest

from headrace.errors import StateError
from headrace.hub.lifecycle import LifeCycle, LifeState, LifeStep

NEW, STARTING, SERVING, DRAINING, CLOSED = LifeState
START, STARTED, DRAIN, CLOSE = LifeStep

TABLE = {
    START: (STARTING, None, None, None, None),
    STARTED: (None, SERVING, None, None, None),
    DRAIN: (CLOSED, CLOSED, DRAINING, DRAINING, CLOSED),
    CLOSE: (CLOSED, CLOSED, CLOSED, CLOSED, CLOSED),
}
"""For each step the state that follows each state; None for an error."""

PATHS = {
    NEW: (),
    STARTING: (START,),
    SERVING: (START, STARTED),
    DRAINING: (START, STARTED, DRAIN),
    CLOSED: (START, STARTED, DRAIN, CLOSE),
}
"""The steps that lead to each state."""


def life_in(state: LifeState) -> LifeCycle:
    life = LifeCycle("gadget")
    for step in PATHS[state]:
        life.move(step)
    assert life.state is state
    return life


@pytest.mark.parametrize(("step", "state"), [*itertools.product(LifeStep, LifeState)])
def test_every_step_in_every_state(step: LifeStep, state: LifeState) -> None:
    life = life_in(state)
    following = TABLE[step][list(LifeState).index(state)]
    if following is not None:
        assert life.move(step) is following
        assert life.state is following
        return
    with pytest.raises(StateError) as caught:
        life.move(step)
    assert str(caught.value) == f"the gadget cannot {step.value} while it is {state.value}"
    assert life.state is state


@pytest.mark.parametrize("state", LifeState)
def test_operations_are_allowed_while_serving_and_draining(state: LifeState) -> None:
    life = life_in(state)
    assert life.is_running == (state in (SERVING, DRAINING))
    if life.is_running:
        life.check_running()
        return
    with pytest.raises(StateError, match=f"the gadget is {state.value}") as caught:
        life.check_running()
    assert ("use it within `async with`" in str(caught.value)) == (state is NEW)
