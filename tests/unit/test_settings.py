"""headrace.settings: the contract's defaults, and refusals that name the setting and the limit."""

import math
from typing import Any

import pytest

from headrace.errors import ConfigError
from headrace.settings import Settings

SECRET = "s" * 32


def refusal(**settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings(**settings)
    return str(caught.value)


def test_the_defaults_are_the_contract_s() -> None:
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
        Settings().port = 1  # type: ignore[misc]  # what the test is about


@pytest.mark.parametrize("port", [0, 1, 8080, 65535])
def test_ports_from_0_to_65535_can_be_used(port: int) -> None:
    assert Settings(port=port).port == port


@pytest.mark.parametrize("port", [-1, 65536])
def test_other_ports_are_refused(port: int) -> None:
    assert refusal(port=port) == f"port is {port}; it must be 0 (any free port) to 65535"


def test_a_secret_is_at_least_32_bytes_and_is_named_by_its_place_alone() -> None:
    Settings(secrets=(SECRET, "é" * 16))
    text = refusal(secrets=(SECRET, "hunter2"))
    assert text.startswith("secret 2 is 7 bytes long; it must be at least 32")
    assert "headrace keygen" in text
    assert "hunter2" not in text


def test_a_secret_that_is_no_text_is_refused_without_showing_it() -> None:
    """What `os.environ` makes of bytes that are not UTF-8."""
    text = refusal(secrets=("s" * 40 + "\udcff",))
    assert text.startswith("secret 1 is not UTF-8")
    assert "sss" not in text


def test_an_empty_api_key_is_refused() -> None:
    assert refusal(api_key="").startswith("api_key is empty; leave it out")


LOWEST: dict[str, Any] = {
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
    "presence_grace_s": 0,
    "write_timeout_s": 0.1,
}


@pytest.mark.parametrize(("name", "lowest"), LOWEST.items())
def test_each_number_has_a_lowest_value(name: str, lowest: float) -> None:
    at_the_limit: dict[str, Any] = {name: lowest}
    assert getattr(Settings(**at_the_limit), name) == lowest
    below = lowest - 1
    assert refusal(**{name: below}) == f"{name} is {below}; it must be at least {lowest}"


def test_every_number_but_the_port_has_a_lowest_value() -> None:
    numbers = {
        name for name, kind in Settings.__annotations__.items() if kind in (int, float, int | None)
    }
    assert numbers == {*LOWEST, "port"}


@pytest.mark.parametrize("name", [name for name in LOWEST if name.endswith("_s")])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_seconds_are_finite(name: str, value: float) -> None:
    """Else NaN would pass every comparison, and an infinite wait has no tick."""
    assert refusal(**{name: value}).startswith(f"{name} is {value}; it must be")


def test_slow_consumer_is_one_of_two() -> None:
    assert Settings(slow_consumer="drop-oldest").slow_consumer == "drop-oldest"
    assert refusal(slow_consumer="wait") == (
        "slow_consumer is 'wait'; it must be 'close' or 'drop-oldest'"
    )


def test_tls_needs_both_files() -> None:
    Settings(tls_cert="cert.pem", tls_key="key.pem")
    assert refusal(tls_cert="x") == "tls_cert is set but tls_key is not; TLS needs both"
    assert refusal(tls_key="x") == "tls_key is set but tls_cert is not; TLS needs both"
    assert refusal(tls_cert="") == "tls_cert is set but tls_key is not; TLS needs both"


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
    text = refusal(app_url=url)
    assert text.startswith("app_url is no base URL: it must be like https://")
    assert "hunter2" not in text
