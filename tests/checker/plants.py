"""Bugs to plant in a server, to show that the checker finds them: each a few lines, each rare."""

from collections.abc import Callable, Iterable

from headrace.history import History
from headrace.message import Message
from headrace.position import Position
from headrace.session import Pushed, Session

_EVERY = 97  # so many messages, or resumptions, go well before one does not


class _Rarely:
    """True at every n-th call."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._calls = 0

    def __call__(self) -> bool:
        self._calls += 1
        return self._calls % self._every == 0


def drop() -> None:
    """Lose a message on its way into a session's backlog."""
    push, now = Session.push, _Rarely(_EVERY)

    def planted(self: Session, message: Message) -> Pushed:
        return Pushed.WAITS if now() else push(self, message)

    Session.push = planted  # type: ignore[method-assign]  # that is the plant


def duplicate() -> None:
    """Queue a message twice."""
    push, now = Session.push, _Rarely(_EVERY)

    def planted(self: Session, message: Message) -> Pushed:
        pushed = push(self, message)
        if now():
            push(self, message)
        return pushed

    Session.push = planted  # type: ignore[method-assign]  # that is the plant


def reorder() -> None:
    """Queue a message behind the one that follows it."""
    push, now = Session.push, _Rarely(_EVERY)
    late: dict[Session, Message] = {}

    def planted(self: Session, message: Message) -> Pushed:
        if now() and self not in late:
            late[self] = message
            return Pushed.WAITS
        pushed = push(self, message)
        if self in late:
            push(self, late.pop(self))
        return pushed

    Session.push = planted  # type: ignore[method-assign]  # that is the plant


def silent_gap() -> None:
    """Leave out the first of the messages that were missed, and say that all were recovered."""
    since, now = History.since, _Rarely(2)

    def planted(self: History, keys: Iterable[str], after: Position) -> list[Message]:
        missed = since(self, keys, after)
        return missed[1:] if missed and now() else missed

    History.since = planted  # type: ignore[method-assign]  # that is the plant


def lie() -> None:
    """Say after any restart that nothing was lost."""

    def planted(self: History, keys: Iterable[str], after: Position) -> bool:
        return after <= self.latest

    History.covers = planted  # type: ignore[method-assign]  # that is the plant


def false_alarm() -> None:
    """Say now and then that something may have been lost, where nothing was."""
    covers, now = History.covers, _Rarely(4)

    def planted(self: History, keys: Iterable[str], after: Position) -> bool:
        return covers(self, keys, after) and not now()

    History.covers = planted  # type: ignore[method-assign]  # that is the plant


PLANTS: dict[str, Callable[[], None]] = {
    "drop": drop,
    "duplicate": duplicate,
    "reorder": reorder,
    "silent-gap": silent_gap,
    "lie": lie,
    "false-alarm": false_alarm,
}
