"""Checks of the strings an application chooses: client IDs, group names, data."""

from headrace import limits
from headrace.errors import RequestError


def utf8_size(what: str, text: str) -> int:
    """Return how many bytes of UTF-8 `text` is.

    RequestError (400) where it cannot be UTF-8: half of a surrogate pair, as JSON can spell it.
    """
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise RequestError(
            400, f"the {what} has half of a surrogate pair at character {error.start}; send UTF-8"
        ) from None


def check_client_id(client_id: str, max_bytes: int) -> None:
    """Raise RequestError (400) for a client ID that is empty or over `max_bytes` of UTF-8."""
    _check("client ID", client_id, max_bytes)


def check_group(group: str) -> None:
    """Raise RequestError (400) for a group name that is empty or too long."""
    _check("group name", group, limits.GROUP_NAME_MAX_BYTES)


def _check(kind: str, name: str, max_bytes: int) -> None:
    if name.isascii() and 1 <= len(name) <= max_bytes:  # nearly all; a send may hold thousands
        return
    what = f"{kind} {name[:40]!r}"
    size_bytes = utf8_size(what, name)
    if not 1 <= size_bytes <= max_bytes:
        raise RequestError(
            400, f"the {what} is {size_bytes} bytes of UTF-8; it must be 1 to {max_bytes}"
        )
