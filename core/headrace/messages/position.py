"""Positions in the total order of messages, and their wire form, the id `"<ms>-<seq>"`.

Ids are global, not per client: one frame serves every client, and one `last_id` resumes all groups
of a client. The form is that of a Redis Stream's entry ids: milliseconds of the Unix clock, then a
counter within the millisecond. Both are compared as numbers.
"""

import re
from typing import NamedTuple

from headrace.errors import InputError

_ID = re.compile(r"(0|[1-9]\d{0,19})-(0|[1-9]\d{0,19})", re.ASCII)
_PART_MAX = 2**64 - 1  # as in a Redis Stream


class Position(NamedTuple):
    """A position as two numbers, each at most 2**64 - 1; compares in the total order.

    `str()` gives the id. On hot paths `"%d-%d" % position` does so without a Python call.
    """

    ms: int
    seq: int

    def __str__(self) -> str:
        return "%d-%d" % self


START = Position(0, 0)
"""Before every message."""


def parse_position(text: str) -> Position:
    """Return the position with the id `text`; raise InputError if it is not an id."""
    matched = _ID.fullmatch(text)
    if matched is not None:
        ms, seq = int(matched[1]), int(matched[2])
        if ms <= _PART_MAX and seq <= _PART_MAX:
            return Position(ms, seq)
    raise InputError(
        f'{text[:50]!r} is not an id; it must be "<ms>-<seq>", as in "1732412345678-0"'
    )
