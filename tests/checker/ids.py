"""Ids as the checker reads them: pairs of numbers that compare in the one total order."""

import re

Id = tuple[int, int]

START: Id = (0, 0)
_FORM = re.compile(r"(\d+)-(\d+)", re.ASCII)


def parse_id(text: object) -> Id:
    """Return the id that `text` names; ValueError where it names none."""
    matched = _FORM.fullmatch(text) if isinstance(text, str) else None
    if matched is None:
        raise ValueError(f"{text!r} is not an id")
    return int(matched[1]), int(matched[2])


def id_text(position: Id) -> str:
    """Return the wire form of an id."""
    return f"{position[0]}-{position[1]}"
