"""headrace.client.address: the base URL and the API key."""

import pytest
from tests.unit.client.conftest import KEY, SENT, Caller, ClientType, FakeServer, json_response

from headrace.client import ConfigError


async def test_the_environment(
    server: FakeServer, client_type: ClientType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_URL", server.url)
    monkeypatch.setenv("HEADRACE_API_KEY", "from-the-environment")
    server.responses = [json_response(SENT), json_response(SENT)]
    for call in (Caller(client_type()), Caller(client_type(api_key=KEY))):
        await call("send", "Hello", to="alice")
        await call("close")
    assert [headers["authorization"] for headers in server.headers] == [
        "Bearer from-the-environment",
        "Bearer the-key",
    ]


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8080", "ftp://a", "http://", "http://a:port", "http://a:0", "http://a/?b",
     "http://a/?", "http://a/#b", "http://[::1", "http://a b", "http://é"],
)  # fmt: skip
def test_a_url_that_is_not_a_base_url(
    url: str, client_type: ClientType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"^url is .*; it must be like http://127.0.0.1:8080"):
        client_type(url, KEY)
    if url:
        monkeypatch.setenv("HEADRACE_URL", url)
        with pytest.raises(ConfigError, match=r"^HEADRACE_URL is"):
            client_type()


@pytest.mark.parametrize("rest", ["127.0.0.1:8080", "127.0.0.1:port", ""])
def test_a_url_with_a_password_is_refused_and_not_shown(client_type: ClientType, rest: str) -> None:
    with pytest.raises(ConfigError, match="contains a user name") as caught:
        client_type(f"http://alice:the-password@{rest}", KEY)
    assert "the-password" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "two words", "ключ", "a\nb"])
def test_a_key_that_a_header_cannot_hold(client_type: ClientType, key: str) -> None:
    with pytest.raises(ConfigError, match="a header cannot hold") as caught:
        client_type("http://127.0.0.1:8080", key)
    assert not key or key not in str(caught.value)


async def test_a_missing_url_or_key(client_type: ClientType) -> None:
    call = Caller(client_type())
    with pytest.raises(ConfigError, match="give url or HEADRACE_URL"):
        await call("stats")
    await call("close")
    call = Caller(client_type("http://127.0.0.1:8080"))
    with pytest.raises(ConfigError, match="as api_key or HEADRACE_API_KEY"):
        await call("stats")
    await call("close")
