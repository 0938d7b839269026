r"""Grants: the `send` claim of a token, which lists what its client may send to by itself.

A grant is `client:<pattern>` or `group:<pattern>`. In a pattern `*` matches any characters, also
none; `\*` is a star and `\\` a backslash. Every other character matches itself, so names may hold
`/ - = & +`, colons and any letter. `check_grant` refuses malformed grants when a token is minted;
`covers` accepts them, from a token that was made elsewhere, and they match nothing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from headrace import limits
from headrace.errors import InputError
from headrace.messages.entries import Entry
from headrace.messages.validation import check_text

_PREFIXES = ("client:", "group:")
_PATTERN_PART = re.compile(r"\\([\\*])|(\*)|(.)", re.DOTALL)
_NEARLY = re.compile(
    r"(client|user|channel|group|room)s?\s*[:/=.\s]\s*(.*)", re.DOTALL | re.IGNORECASE
)
_SHOWN_CHARACTERS = 40  # of a value, in an error text


def check_grant(grant: str) -> None:
    """Raise InputError if the grant can never match; the text suggests one that can."""
    check_text("grant", grant, limits.TOKEN_MAX_BYTES)
    if grant.startswith(_PREFIXES) and grant not in _PREFIXES:
        return
    nearly = _NEARLY.fullmatch(grant.strip())
    kind = "client" if nearly and nearly[1].lower() in ("client", "user", "channel") else "group"
    pattern = (nearly[2] if nearly else grant.strip()) or "*"
    if len(pattern) > _SHOWN_CHARACTERS:
        pattern = pattern[:_SHOWN_CHARACTERS] + "…"
    raise InputError(
        f"the grant {grant[:_SHOWN_CHARACTERS]!r} matches nothing; a grant is `client:<pattern>`"
        f" or `group:<pattern>`: did you mean `{kind}:{pattern}`?"
    )


def covers(grants: Iterable[str], entry: Entry) -> bool:
    """Return True if the grants of a token allow every target of `entry`."""
    if entry.everyone:
        return False
    targets = [f"client:{client_id}" for client_id in entry.to]
    if entry.group is not None:
        targets.append(f"group:{entry.group}")
    patterns = [_split_at_stars(grant) for grant in grants if grant.startswith(_PREFIXES)]
    return bool(targets) and all(any(_matches(p, t) for p in patterns) for t in targets)


@lru_cache(maxsize=1024)
def _split_at_stars(grant: str) -> tuple[str, ...]:
    """Return the literal parts before, between and after the stars of a grant."""
    parts = [""]
    for escaped, star, other in _PATTERN_PART.findall(grant):
        if star:
            parts.append("")
        else:
            parts[-1] += escaped or other
    return tuple(parts)


def _matches(parts: tuple[str, ...], target: str) -> bool:
    """Return True if `target` consists of the parts in order, with anything between them.

    Each part is matched at its first occurrence, without backtracking. The client chooses the
    target, and could make a regular expression with several stars backtrack for hours.
    """
    if len(parts) == 1:
        return target == parts[0]
    first, *middle, last = parts
    at, end = len(first), len(target) - len(last)
    if at > end or not (target.startswith(first) and target.endswith(last)):
        return False
    for part in middle:
        at = target.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
