"""auth/origins.py: which web pages may connect and post."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.auth.origins import OriginPolicy
from headrace.errors import ConfigError

SAME_ORIGIN = OriginPolicy(())


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://example.com", "example.com"),
        ("https://example.com", "example.com"),  # behind a proxy that terminates TLS
        ("https://example.com", "example.com:443"),
        ("http://example.com:80", "example.com"),
        ("http://example.com:8080", "example.com:8080"),
        ("http://EXAMPLE.com", "example.COM"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://[::1]", "[::1]:80"),
        ("http://12345", "12345"),
    ],
)
def test_the_same_origin_is_allowed(origin: str, host: str) -> None:
    assert SAME_ORIGIN.allows(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "example.com"),
        ("http://example.com", None),
        ("http://example.com:8081", "example.com:8080"),
        ("http://example.com", "example.com:8080"),
        ("http://sub.example.com", "example.com"),
        ("http://example.com.evil.example", "example.com"),
        ("http://example.com@evil.example", "example.com"),
        ("http://user@example.com", "example.com"),
        ("null", "null"),
        ("", ""),
        ("example.com", "example.com"),
        ("//example.com", "example.com"),
        ("http://", ""),
        ("file://", ""),
        ("http://[::1", "[::1"),  # urlsplit raises ValueError
        ("http://]", "]"),
        ("http://[x]", "[x]"),
        ("x://example.com", "example.com"),
        ("http://exa\tmple.com", "example.com"),
        (" http://example.com", "example.com"),
        ("http://example.com/", "example.com"),
        ("http://example.com", "example.com/"),
        ("http://example.com", "example.com, example.com"),
    ],
)
def test_another_or_a_malformed_origin_is_refused(origin: str, host: str | None) -> None:
    assert not SAME_ORIGIN.allows(origin, host)


def test_a_program_that_sends_no_origin_is_allowed() -> None:
    assert SAME_ORIGIN.allows(None, "example.com")
    assert SAME_ORIGIN.allows(None, None)
    assert OriginPolicy(["https://a.example"]).allows(None, "b.example")


def test_listed_origins_are_allowed_as_well_as_the_same_origin() -> None:
    policy = OriginPolicy(["https://app.example", "http://localhost:3000"])
    assert policy.allows("https://app.example", "push.example")
    assert policy.allows("http://localhost:3000", "push.example")
    assert policy.allows("https://push.example", "push.example")
    assert not policy.allows("http://app.example", "push.example")
    assert not policy.allows("https://app.example:444", "push.example")
    assert not policy.allows("http://localhost", "push.example")


@pytest.mark.parametrize("written", ["https://App.Example", "HTTPS://app.example:443"])
def test_a_listed_origin_is_compared_in_its_normal_form(written: str) -> None:
    """RFC 6454 section 6.2: lower case, and no port if it is the default."""
    assert OriginPolicy([written]).allows("https://app.example", "push.example")


def test_the_star_allows_every_origin() -> None:
    policy = OriginPolicy(["*", "https://app.example"])
    assert policy.allows("https://evil.example", "push.example")
    assert policy.allows("null", None)
    assert policy.allows("http://[", None)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "app.example",
        "https://app.example/",
        "https://app.example/page",
        "https://app.example?x",
        "https://",
        "//app.example",
        "null",
        "https://*.example",
        "https://bücher.example",
        "http://app.example:",
        "http://[::1",
        "http://app.example:port",
        "http://app.example:99999",
        "https://user@app.example",
    ],
)
def test_an_invalid_entry_is_a_configuration_error(entry: str) -> None:
    with pytest.raises(ConfigError, match="an origin is scheme://host") as caught:
        OriginPolicy(["https://fine.example", entry])
    assert repr(entry) in str(caught.value)


@given(st.text(), st.none() | st.text())
def test_no_header_value_raises(origin: str, host: str | None) -> None:
    assert SAME_ORIGIN.allows(origin, host) in (True, False)


@given(st.sampled_from(["http://", "https://", "http://[", "x://"]), st.text(), st.text())
def test_no_malformed_authority_raises(scheme: str, authority: str, host: str) -> None:
    assert SAME_ORIGIN.allows(scheme + authority, host) in (True, False)
