"""A message's place in the one total order: the id `"<ms>-<seq>"`.

Ids are global, not per client, so one frame serves every client and one `last_id` resumes all of
a client's groups. The form is that of a Redis Stream's entry ids: milliseconds of the Unix clock,
then a counter within the millisecond; both are compared as numbers.
"""

import re
from typing import NamedTuple

from headrace.errors import RequestError

_FORM = re.compile(r"(0|[1-9]\d{0,19})-(0|[1-9]\d{0,19})", re.ASCII)
_PART_MAX = 2**64 - 1


class Position(NamedTuple):
    """An id as a pair of numbers that compares in the total order; `str()` is the wire form."""

    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"


START = Position(0, 0)
"""Before every message."""


def parse_position(text: str) -> Position:
    """Return the position that `text` names; raise RequestError (400) where it names none."""
    matched = _FORM.fullmatch(text)
    if matched is not None:
        ms, seq = int(matched[1]), int(matched[2])
        if ms <= _PART_MAX and seq <= _PART_MAX:
            return Position(ms, seq)
    raise RequestError(
        400, f'{text[:50]!r} is not an id; it must be "<ms>-<seq>", as in "1732412345678-0"'
    )


class PositionCounter:
    """Gives out strictly increasing positions, whatever the clock does."""

    __slots__ = ("latest",)

    def __init__(self, latest: Position = START) -> None:
        self.latest = latest

    def next(self, now_ms: int) -> Position:
        """Return a position after all earlier ones; `now_ms` is the Unix time in milliseconds."""
        latest = self.latest
        if now_ms > latest.ms:
            self.latest = Position(now_ms, 0)
        else:  # the same millisecond, or a clock that was set back
            self.latest = Position(latest.ms, latest.seq + 1)
        return self.latest
