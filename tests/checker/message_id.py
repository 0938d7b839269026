"""Message IDs as the checker reads them: pairs of numbers that compare in the total order."""

import re

MessageId = tuple[int, int]

START: MessageId = (0, 0)
_PATTERN = re.compile(r"(\d+)-(\d+)", re.ASCII)


def parse_id(text: object) -> MessageId:
    """Return the ID that `text` represents. Raise ValueError if it is not an ID."""
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a message ID")
    return int(match[1]), int(match[2])


def format_id(message_id: MessageId) -> str:
    """Return the wire format of an ID."""
    return f"{message_id[0]}-{message_id[1]}"
