"""Bugs to plant in the server, each small and rare, to show that the checker finds them."""

from collections.abc import Callable, Iterable

from headrace.hub.history import History
from headrace.hub.replay import Replay
from headrace.hub.session import PushResult, Session
from headrace.messages.message import Message
from headrace.messages.position import Position

_RARE = 97  # every 97th message


class _EveryNth:
    """Callable that returns True at every n-th call."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._calls = 0

    def __call__(self) -> bool:
        self._calls += 1
        return self._calls % self._n == 0


def drop() -> None:
    """Drop a message on its way into a session's backlog."""
    push, is_due = Session.push, _EveryNth(_RARE)

    def buggy(self: Session, message: Message) -> PushResult:
        return PushResult.WAITS if is_due() else push(self, message)

    Session.push = buggy  # type: ignore[method-assign]  # plants the bug


def duplicate() -> None:
    """Queue a message twice."""
    push, is_due = Session.push, _EveryNth(_RARE)

    def buggy(self: Session, message: Message) -> PushResult:
        result = push(self, message)
        if is_due():
            push(self, message)
        return result

    Session.push = buggy  # type: ignore[method-assign]  # plants the bug


def reorder() -> None:
    """Queue a message after its successor."""
    push, is_due = Session.push, _EveryNth(_RARE)
    delayed: dict[Session, Message] = {}

    def buggy(self: Session, message: Message) -> PushResult:
        if is_due() and self not in delayed:
            delayed[self] = message
            return PushResult.WAITS
        result = push(self, message)
        if self in delayed:
            push(self, delayed.pop(self))
        return result

    Session.push = buggy  # type: ignore[method-assign]  # plants the bug


def omit_first_missed() -> None:
    """Omit the first missed message of a resumed client, but report that all were recovered."""
    messages_after, is_due = History.messages_after, _EveryNth(2)

    def buggy(self: History, keys: Iterable[str], after: Position) -> Replay:
        missed = messages_after(self, keys, after)
        if missed and is_due():
            missed.take(0)
        return missed

    History.messages_after = buggy  # type: ignore[method-assign]  # plants the bug


def always_report_recovered() -> None:
    """Report after every restart that nothing was lost."""

    def buggy(self: History, keys: Iterable[str], after: Position) -> bool:
        return after <= self.latest

    History.covers = buggy  # type: ignore[method-assign]  # plants the bug


def report_false_loss() -> None:
    """Report sometimes that messages may have been lost, although none were."""
    covers, is_due = History.covers, _EveryNth(4)

    def buggy(self: History, keys: Iterable[str], after: Position) -> bool:
        return covers(self, keys, after) and not is_due()

    History.covers = buggy  # type: ignore[method-assign]  # plants the bug


PLANTED_BUGS: dict[str, Callable[[], None]] = {
    "drop": drop,
    "duplicate": duplicate,
    "reorder": reorder,
    "silent-gap": omit_first_missed,
    "lie": always_report_recovered,
    "false-alarm": report_false_loss,
}
