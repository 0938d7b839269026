"""headrace.client.retry_after."""

import pytest

from headrace.client.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("Thu, 01 Jan 99999999999999999999 00:02:00 GMT", None),
        ("Thu, 01 Jan 1970 00:02:00 +99999999999999999999", None),
        ("", None),
    ],
)
def test_seconds_and_dates(value: str, seconds: float | None) -> None:
    assert retry_after_s((("retry-after", value),), unix=100.0) == seconds


def test_without_the_header() -> None:
    assert retry_after_s((), unix=100.0) is None
