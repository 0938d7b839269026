"""HttpBackend: which tokens it recognises, and a server that is down."""

from collections.abc import Iterator

import pytest
from tests.helpers.appengine import SECRET, mint

from headrace.appengine import HttpBackend
from headrace.client import Client, UnreachableError
from headrace.errors import ConfigError

OTHER_TOKEN = mint("alice", "another secret, of the application")


@pytest.fixture
def client(unused_tcp_port: int) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{unused_tcp_port}", "the-key", retry_s=0) as client:
        yield client


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode()])
def test_with_the_secret_the_signature_decides(client: Client, secret: str | bytes) -> None:
    backend = HttpBackend(client, secret)
    assert backend.recognises(mint("alice"))
    assert not backend.recognises(OTHER_TOKEN)


def test_without_the_secret_the_format_decides(client: Client) -> None:
    assert HttpBackend(client).recognises(OTHER_TOKEN)


def test_a_secret_that_is_too_short(client: Client) -> None:
    with pytest.raises(ConfigError, match="at least 32"):
        HttpBackend(client, "short")


def test_a_server_that_is_down(client: Client) -> None:
    with pytest.raises(UnreachableError):
        HttpBackend(client).send("alice", "Hello")
