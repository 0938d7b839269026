"""headrace.cli.keys: a start without keys."""

from typing import Any

import pytest

from headrace.cli.keys import is_loopback, with_generated_keys
from headrace.errors import ConfigError
from headrace.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"
A = "a" * 43
B = "b" * 43
NEW_KEYS = (
    "is set: generated what is missing, valid until the server stops. To send and listen from"
    " another terminal, run there:"
)


def generate(**settings: Any) -> tuple[Settings, tuple[str, ...]]:
    keys = iter([A, B])
    return with_generated_keys(Settings(**settings), new_key=lambda: next(keys))


def test_both_keys_are_generated() -> None:
    assert generate() == (
        Settings(secrets=(A,), api_key=B),
        (
            f"No secret and no API key {NEW_KEYS}",
            f"export HEADRACE_SECRET={A}",
            f"export HEADRACE_API_KEY={B}",
        ),
    )


def test_only_the_missing_key_is_generated() -> None:
    assert generate(secrets=(SECRET,), host="::1") == (
        Settings(secrets=(SECRET,), api_key=A, host="::1"),
        (
            f"No API key {NEW_KEYS}",
            f"export HEADRACE_API_KEY={A}",
        ),
    )
    settings, lines = generate(api_key="key", host="localhost")
    assert settings == Settings(secrets=(A,), api_key="key", host="localhost")
    assert lines == (f"No secret {NEW_KEYS}", f"export HEADRACE_SECRET={A}")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_nothing_is_generated_if_nothing_is_missing(host: str) -> None:
    settings = Settings(host=host, secrets=(SECRET,), api_key="key")
    unchanged = with_generated_keys(settings, new_key=lambda: pytest.fail("not needed"))
    assert unchanged == (settings, ())


def test_without_keys_only_loopback_addresses_are_accepted() -> None:
    with pytest.raises(ConfigError) as caught:
        generate(host="0.0.0.0")
    assert str(caught.value) == (
        "host is '0.0.0.0', which other machines can reach, but no secret and no API key is set:"
        " set HEADRACE_SECRET and HEADRACE_API_KEY to what `headrace keygen` prints, or listen on"
        " 127.0.0.1"
    )
    for settings, missing in (
        ({"api_key": "key"}, "no secret"),
        ({"secrets": (SECRET,)}, "no API"),
    ):
        with pytest.raises(ConfigError, match=f"can reach, but {missing} .*is set"):
            generate(host="push.example", **settings)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.255.1.2", True), ("::1", True), ("localhost", True),
        ("LocalHost", True), ("::ffff:127.0.0.1", True), ("0:0:0:0:0:0:0:1", True),
        ("", False), ("0.0.0.0", False), ("::", False), ("128.0.0.1", False), ("10.0.0.1", False),
        ("localhost.example", False), ("127.0.0.1.example", False), ("::2", False),
        ("127.1", False),
    ],
)  # fmt: skip
def test_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
