"""The life cycle that `Hub` and `Server` share: five states and one table.

    operation          NEW       STARTING  SERVING   DRAINING  CLOSED
    start              STARTING  error     error     error     error
    started            error     SERVING   error     error     error
    drain              CLOSED    CLOSED    DRAINING  ignored   ignored
    close              CLOSED    CLOSED    CLOSED    CLOSED    ignored

`start` and `started` are the two ends of an asynchronous start. `drain` is the first step of an
orderly stop; an object that is not serving has nothing to drain and closes at once. An operation
marked "error" raises StateError and changes nothing; an ignored one changes nothing.
"""

from enum import Enum
from typing import Final

from headrace.errors import StateError


class LifeState(Enum):
    """The states of the table above."""

    NEW = "new"
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    CLOSED = "closed"


class LifeStep(Enum):
    """The operations of the table above."""

    START = "start"
    STARTED = "finish starting"
    DRAIN = "drain"
    CLOSE = "close"


_NEXT: Final = {
    (LifeState.NEW, LifeStep.START): LifeState.STARTING,
    (LifeState.NEW, LifeStep.DRAIN): LifeState.CLOSED,
    (LifeState.NEW, LifeStep.CLOSE): LifeState.CLOSED,
    (LifeState.STARTING, LifeStep.STARTED): LifeState.SERVING,
    (LifeState.STARTING, LifeStep.DRAIN): LifeState.CLOSED,
    (LifeState.STARTING, LifeStep.CLOSE): LifeState.CLOSED,
    (LifeState.SERVING, LifeStep.DRAIN): LifeState.DRAINING,
    (LifeState.SERVING, LifeStep.CLOSE): LifeState.CLOSED,
    (LifeState.DRAINING, LifeStep.DRAIN): LifeState.DRAINING,
    (LifeState.DRAINING, LifeStep.CLOSE): LifeState.CLOSED,
    (LifeState.CLOSED, LifeStep.DRAIN): LifeState.CLOSED,
    (LifeState.CLOSED, LifeStep.CLOSE): LifeState.CLOSED,
}


class LifeCycle:
    """The current state of one object; `name` is what its errors call it."""

    __slots__ = ("_name", "state")

    def __init__(self, name: str) -> None:
        self._name = name
        self.state = LifeState.NEW

    def move(self, step: LifeStep) -> LifeState:
        """Take a step and return the new state; raise StateError if the table has none."""
        following = _NEXT.get((self.state, step))
        if following is None:
            raise StateError(f"the {self._name} cannot {step.value} while it is {self.state.value}")
        self.state = following
        return following

    @property
    def is_running(self) -> bool:
        """True while operations other than start and close are allowed."""
        return self.state is LifeState.SERVING or self.state is LifeState.DRAINING

    def check_running(self) -> None:
        """Raise StateError unless operations are allowed."""
        if not self.is_running:
            hint = "; use it within `async with`" if self.state is LifeState.NEW else ""
            raise StateError(f"the {self._name} is {self.state.value}{hint}")
