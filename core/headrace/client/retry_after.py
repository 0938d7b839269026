"""The `Retry-After` response header (RFC 9110 section 10.2.3)."""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime


def retry_after_s(headers: Iterable[tuple[str, str]], unix: float) -> float | None:
    """Return the number of seconds to wait, None if the header is missing or malformed.

    The value is a number of seconds or a date. Header names are in lower case; `unix` is the
    current time in seconds since the epoch.
    """
    value = dict(headers).get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - unix)
    except (ValueError, OverflowError):  # OverflowError: a year or a zone with too many digits
        return None
