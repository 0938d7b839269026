r"""The `send` claim: what a client may send to by itself, without asking the application.

A grant is `client:<pattern>` or `group:<pattern>`. In a pattern `*` stands for any characters,
none included; `\*` is a star and `\\` a backslash. All else stands for itself, so names may
hold `/ - = & +`, colons and any letter. What is no grant grants nothing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from headrace.entries import Entry

_TOKEN = re.compile(r"\\([\\*])|(\*)|(.)", re.DOTALL)


def covers(grants: Iterable[str], entry: Entry) -> bool:
    """Tell whether the grants of a token allow every target of `entry`."""
    if entry.everyone:
        return False
    targets = [f"client:{client_id}" for client_id in entry.to]
    if entry.group is not None:
        targets.append(f"group:{entry.group}")
    patterns = [_pieces(grant) for grant in grants if grant.startswith(("client:", "group:"))]
    return bool(targets) and all(any(_matches(p, t) for p in patterns) for t in targets)


@lru_cache(maxsize=1024)
def _pieces(grant: str) -> tuple[str, ...]:
    """Return what stands before, between and behind the stars of a grant."""
    pieces = [""]
    for escaped, star, other in _TOKEN.findall(grant):
        if star:
            pieces.append("")
        else:
            pieces[-1] += escaped or other
    return tuple(pieces)


def _matches(pieces: tuple[str, ...], target: str) -> bool:
    """Tell whether `target` is the pieces in their order, with anything in between.

    Each is taken where it comes first, without ever going back: a client chooses the target, and
    a regular expression with several stars could be made to try for hours.
    """
    if len(pieces) == 1:
        return target == pieces[0]
    first, *middle, last = pieces
    at, end = len(first), len(target) - len(last)
    if at > end or not (target.startswith(first) and target.endswith(last)):
        return False
    for piece in middle:
        at = target.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True
