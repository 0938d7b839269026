r"""The `send` claim: what a client may send to by itself, without asking the application.

A grant is `client:<pattern>` or `group:<pattern>`. In a pattern `*` stands for any characters,
none included; `\*` is a star and `\\` a backslash. All else stands for itself, so names may
hold `/ - = & +`, colons and any letter. What is no grant grants nothing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from headrace.entries import Entry

_PIECE = re.compile(r"\\([\\*])|(\*)|(.)", re.DOTALL)


def covers(grants: Iterable[str], entry: Entry) -> bool:
    """Tell whether the grants of a token allow every target of `entry`."""
    if entry.everyone:
        return False
    targets = [f"client:{client_id}" for client_id in entry.to]
    if entry.group is not None:
        targets.append(f"group:{entry.group}")
    patterns = [_compiled(grant) for grant in grants if grant.startswith(("client:", "group:"))]
    return bool(targets) and all(any(p.fullmatch(t) for p in patterns) for t in targets)


@lru_cache(maxsize=1024)
def _compiled(grant: str) -> re.Pattern[str]:
    def piece(found: re.Match[str]) -> str:
        escaped, star, other = found.groups()
        return ".*" if star else re.escape(escaped or other)

    return re.compile(_PIECE.sub(piece, grant), re.DOTALL)
