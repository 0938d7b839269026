"""Checks of the values that a sender chooses: client IDs, group names, targets and data.

A value that cannot be used raises InputError, or TooLargeError for data over the limit. The text
names the value, its size and the limit. Sizes are in bytes of UTF-8.

`check_entry` runs for every send: with ASCII data it costs one Python call, and one per target.
"""

from headrace import limits
from headrace.errors import InputError, TooLargeError
from headrace.messages.entries import Entry

RECIPIENTS_MAX_COUNT = 10_000
"""Client IDs in one send: it blocks the event loop for about 30 ms. A group has no such limit."""

_SHOWN_CHARACTERS = 40  # of a value, in an error text


def utf8_size(what: str, text: str) -> int:
    """Return the size of `text` in bytes of UTF-8.

    Raise InputError if it has half of a surrogate pair, which JSON can express and UTF-8 cannot.
    """
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InputError(
            f"the {what} has half of a surrogate pair at character {error.start}; send UTF-8"
        ) from None


def check_text(what: str, text: str, max_bytes: int) -> None:
    """Raise InputError unless `text` is 1 to `max_bytes` of UTF-8; `what` names it in the error."""
    if text.isascii() and 1 <= len(text) <= max_bytes:
        return
    what = f"{what} {text[:_SHOWN_CHARACTERS]!r}"
    size_bytes = utf8_size(what, text)
    if not 1 <= size_bytes <= max_bytes:
        raise InputError(f"the {what} is {size_bytes} bytes of UTF-8; it must be 1 to {max_bytes}")


def check_client_id(client_id: str, max_bytes: int) -> None:
    """Raise InputError if the client ID is empty or over `max_bytes`."""
    check_text("client ID", client_id, max_bytes)


def check_group(group: str) -> None:
    """Raise InputError if the group name is empty or over the limit."""
    check_text("group name", group, limits.GROUP_NAME_MAX_BYTES)


def check_data(data: str, max_bytes: int) -> None:
    """Raise TooLargeError if the data is over `max_bytes`, InputError if it is not Unicode text."""
    size_bytes = utf8_size("data", data)
    if size_bytes > max_bytes:
        raise TooLargeError(
            f"the data is {size_bytes} bytes of UTF-8; a message holds at most {max_bytes}:"
            " send it in parts, or send a link"
        )


def check_entry(entry: Entry, *, message_max_bytes: int, client_id_max_bytes: int) -> None:
    """Check the target and the data of a send.

    Raise InputError unless there is exactly one valid target, TooLargeError if the data is over
    `message_max_bytes`.
    """
    if bool(entry.to) + (entry.group is not None) + entry.everyone != 1:
        raise InputError('a send needs exactly one target: "to", "group", or "everyone": true')
    if len(entry.to) > RECIPIENTS_MAX_COUNT:
        raise InputError(
            f'"to" names {len(entry.to)} clients; a send may name {RECIPIENTS_MAX_COUNT}: use a'
            " group, or send in parts"
        )
    for client_id in entry.to:
        check_text("client ID", client_id, client_id_max_bytes)
    if entry.group is not None:
        check_text("group name", entry.group, limits.GROUP_NAME_MAX_BYTES)
    if not entry.data.isascii() or len(entry.data) > message_max_bytes:
        check_data(entry.data, message_max_bytes)
