"""headrace.settings: defaults, and errors that name the setting and the limit."""

import math
from typing import Any

import pytest

from headrace.errors import ConfigError
from headrace.settings import FIELDS, Settings, is_base_url, parse_address

SECRET = "s" * 32


def error_text(**settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings(**settings)
    return str(caught.value)


def test_the_defaults() -> None:
    settings = Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.secrets, settings.api_key, settings.allowed_origins) == ((), None, ())
    assert (settings.message_max_bytes, settings.client_id_max_bytes) == (32768, 256)
    assert (settings.ring_max_messages, settings.ring_max_bytes) == (1024, 1024 * 1024)
    assert settings.slow_consumer == "close"
    assert (settings.history_max_bytes, settings.history_max_age_s) == (64 * 1024 * 1024, 120)
    assert (settings.sessions_per_client, settings.max_connections) == (16, None)
    assert (settings.ping_interval_s, settings.drain_s, settings.write_timeout_s) == (25, 30, 60)
    assert (settings.tls_cert, settings.tls_key) == (None, None)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        Settings().port = 1  # type: ignore[misc]  # the error under test


@pytest.mark.parametrize("port", [0, 1, 8080, 65535])
def test_valid_ports(port: int) -> None:
    assert Settings(port=port).port == port


@pytest.mark.parametrize("port", [-1, 65536])
def test_invalid_ports(port: int) -> None:
    assert error_text(port=port) == f"port is {port}; it must be 0 to 65535"


def test_a_short_secret_is_refused_and_not_shown() -> None:
    Settings(secrets=(SECRET, "é" * 16))
    text = error_text(secrets=(SECRET, "hunter2"))
    assert text.startswith("secret 2 is 7 bytes long; it must be at least 32")
    assert "headrace keygen" in text
    assert "hunter2" not in text


def test_a_secret_that_is_not_utf_8_is_refused_and_not_shown() -> None:
    """`os.environ` decodes bytes that are not UTF-8 as surrogates."""
    text = error_text(secrets=("s" * 40 + "\udcff",))
    assert text.startswith("secret 1 is not UTF-8")
    assert "sss" not in text


def test_an_empty_api_key_is_refused() -> None:
    assert error_text(api_key="").startswith("api_key is empty; leave it out")


# --- types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"secrets": SECRET},
            "secrets is text; it must be a tuple of texts: secrets=(secret,)",
        ),
        (
            {"secrets": SECRET.encode()},
            "secrets is bytes; it must be a tuple of texts: secrets=(secret.decode(),)",
        ),
        ({"secrets": (SECRET.encode(),)}, "secrets[0] is bytes; it must be text: secret.decode()"),
        ({"secrets": (SECRET, 7)}, "secrets[1] is int; it must be text"),
        (
            {"secrets": None},
            "secrets is NoneType; it must be a tuple of texts: secrets=(secret,)",
        ),
        (
            {"allowed_origins": "*"},
            (
                "allowed_origins is text; it must be a tuple of texts:"
                " allowed_origins=(allowed_origin,)"
            ),
        ),
        ({"api_key": b"key"}, "api_key is bytes; it must be text in UTF-8"),
        ({"host": None}, "host is None; it must be text in UTF-8"),
        ({"port": "8080"}, "port is '8080'; it must be a whole number"),
        ({"port": True}, "port is True; it must be a whole number"),
        ({"ring_max_bytes": 1.5}, "ring_max_bytes is 1.5; it must be a whole number"),
        ({"drain_s": "5"}, "drain_s is '5'; it must be a number"),
        ({"slow_consumer": None}, "slow_consumer is None; it must be 'close' or 'drop-oldest'"),
    ],
)
def test_a_wrong_type(settings: dict[str, Any], text: str) -> None:
    assert error_text(**settings) == text


def test_values_that_are_converted_or_compatible() -> None:
    as_list: Any = [SECRET]
    assert Settings(secrets=as_list).secrets == (SECRET,)
    assert Settings(drain_s=5).drain_s == 5


def test_every_setting_has_a_description() -> None:
    assert list(FIELDS) == list(Settings.__struct_fields__)
    assert all(field.description.endswith(".") for field in FIELDS.values())


# --- numbers --------------------------------------------------------------------------------------


MINIMUMS: dict[str, Any] = {
    "message_max_bytes": 1,
    "client_id_max_bytes": 1,
    "ring_max_messages": 1,
    "ring_max_bytes": 1,
    "history_max_bytes": 0,
    "history_max_age_s": 0,
    "sessions_per_client": 1,
    "max_connections": 1,
    "ping_interval_s": 0.1,
    "drain_s": 0,
    "stop_timeout_s": 0,
    "presence_grace_s": 0,
    "write_timeout_s": 0.1,
    "notice_max_attempts": 1,
}


@pytest.mark.parametrize(("name", "minimum"), MINIMUMS.items())
def test_minimums(name: str, minimum: float) -> None:
    at_the_limit: dict[str, Any] = {name: minimum}
    assert getattr(Settings(**at_the_limit), name) == minimum
    below = int(minimum) - 1
    assert error_text(**{name: below}) == f"{name} is {below}; it must be at least {minimum}"


def test_every_number_has_a_minimum() -> None:
    numbers = {field.name for field in FIELDS.values() if field.kind in (int, float)}
    assert numbers == {*MINIMUMS, "port"}
    assert numbers == {field.name for field in FIELDS.values() if field.minimum is not None}


@pytest.mark.parametrize("name", [name for name in MINIMUMS if name.endswith("_s")])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_seconds_are_finite(name: str, value: float) -> None:
    """Comparisons with NaN are always false, and timers cannot wait for infinity."""
    assert error_text(**{name: value}).startswith(f"{name} is {value}; it must be")


def test_slow_consumer() -> None:
    assert Settings(slow_consumer="drop-oldest").slow_consumer == "drop-oldest"
    assert error_text(slow_consumer="wait") == (
        "slow_consumer is 'wait'; it must be 'close' or 'drop-oldest'"
    )


def test_tls_needs_both_files() -> None:
    Settings(tls_cert="cert.pem", tls_key="key.pem")
    assert error_text(tls_cert="x") == "tls_cert is set but tls_key is not; TLS needs both"
    assert error_text(tls_key="x") == "tls_key is set but tls_cert is not; TLS needs both"
    assert error_text(tls_cert="") == "tls_cert is set but tls_key is not; TLS needs both"


@pytest.mark.parametrize(
    "url",
    [
        "http://app",
        "https://app.example.com/",
        "http://127.0.0.1:8000/base/path",
        "http://[::1]:8000",
        "https://user:p%40ss@app.example.com",
    ],
)
def test_app_url_is_a_base_url(url: str) -> None:
    assert is_base_url(url)
    assert Settings(app_url=url).app_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.example.com",
        "//app.example.com",
        "ftp://app.example.com",
        "http://",
        "http://:80",
        "http://app:0",
        "http://app:port",
        "http://app:99999",
        "http://[::1",
        "http://app/?query",
        "http://app/?",
        "http://app/#part",
        "http://app /",
        "http://žluť.example",
        "http://user:hunter2@",
    ],
)
def test_another_app_url_is_refused_and_not_shown(url: str) -> None:
    assert not is_base_url(url)
    text = error_text(app_url=url)
    assert text.startswith("app_url is not a base URL: it must be like https://")
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8081", ("127.0.0.1", 8081)),
        ("[::1]:0", ("::1", 0)),
        ("admin.example:65535", ("admin.example", 65535)),
    ],
)
def test_the_second_address(text: str, expected: tuple[str, int]) -> None:
    assert Settings(admin_listen=text).admin_listen == text
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "8081", ":8081", "a:", "a:65536", "::1:80", "a b:1", "a:-1"])
def test_an_invalid_second_address(text: str) -> None:
    assert error_text(admin_listen=text) == (
        f"admin_listen is {text!r}; it must be host:port, such as 127.0.0.1:8081 or [::1]:8081"
    )
