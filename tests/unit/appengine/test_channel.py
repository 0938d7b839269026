"""headrace.appengine.channel: the contract's table of arguments, and the errors of a backend."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from tests.helpers.appengine import NOW, SECRET, MemoryBackend, mint

from headrace import appengine
from headrace.appengine import channel
from headrace.auth.tokens import TokenSigner
from headrace.client.errors import UnreachableError
from headrace.errors import (
    ConfigError,
    ForbiddenError,
    HeadraceError,
    InputError,
    RequestError,
    StateError,
    TooLargeError,
    UnavailableError,
)

BAD_ID = channel.InvalidChannelClientIdError
BAD_DURATION = channel.InvalidChannelTokenDurationError
BAD_MESSAGE = channel.InvalidMessageError


@pytest.fixture(autouse=True)
def backend() -> Iterator[MemoryBackend]:
    backend = MemoryBackend()
    appengine.use(backend)
    yield backend
    appengine.use(None)


def test_the_names() -> None:
    assert channel.MAXIMUM_CLIENT_ID_LENGTH == 256
    assert channel.MAXIMUM_TOKEN_DURATION_MINUTES == 1440
    assert channel.MAXIMUM_MESSAGE_LENGTH == 32767
    assert channel.Error.__bases__ == (Exception,)
    for error in (BAD_ID, BAD_DURATION, BAD_MESSAGE, channel.AppIdAliasRequired):
        assert error.__bases__ == (channel.Error,)


# Client IDs.

GOOD_IDS = [
    "a", "0", " ", "\x00", "a/b", "-a--b=c&d+e f", "é" * 128, "x" * 256, "😀" * 64, "a.b.c", "..",
    "a" * 85 + "." + "b" * 85 + "." + "c" * 84,
]  # fmt: skip
NOT_TEXT = [None, 1, 1.5, True, bytearray(b"alice"), ["alice"], ("alice",), object()]
TOO_LONG = ["x" * 257, "é" * 128 + "x", "😀" * 64 + "x", "x" * 100_000]


@pytest.mark.parametrize("client_id", GOOD_IDS)
def test_valid_client_ids(backend: MemoryBackend, client_id: str) -> None:
    assert channel.create_channel(client_id) == f"token of {client_id}"
    channel.send_message(client_id, "Hello")
    assert backend.created == [(client_id, 120)]
    assert backend.sent == [(client_id, "Hello")]


@pytest.mark.parametrize("client_id", GOOD_IDS)
def test_client_ids_as_bytes(backend: MemoryBackend, client_id: str) -> None:
    assert channel.create_channel(client_id.encode()) == f"token of {client_id}"
    channel.send_message(client_id.encode(), "Hello")
    assert backend.created == [(client_id, 120)]
    assert backend.sent == [(client_id, "Hello")]


@pytest.mark.parametrize(
    "client_id",
    [
        *NOT_TEXT,
        *["", "\ud800", "a\udfff", *TOO_LONG],
        *[b"", b"\xff", "é".encode()[:1], b"\xed\xa0\x80", *[text.encode() for text in TOO_LONG]],
    ],
)
def test_invalid_client_ids(backend: MemoryBackend, client_id: Any) -> None:
    with pytest.raises(BAD_ID):
        channel.create_channel(client_id)
    with pytest.raises(BAD_ID):
        channel.send_message(client_id, "Hello")
    assert (backend.created, backend.sent) == ([], [])


def test_error_texts_for_client_ids(backend: MemoryBackend) -> None:
    with pytest.raises(BAD_ID, match=r'^"5" is not a string\.$'):
        channel.create_channel(5)  # type: ignore[arg-type]  # tested here
    with pytest.raises(BAD_ID, match=r"^Client id length 258 is greater than max length 256$"):
        channel.create_channel("é" * 129)
    with pytest.raises(BAD_ID, match="empty"):
        channel.create_channel("")
    with pytest.raises(BAD_ID, match=r"^Client id length 258 is greater than max length 256$"):
        channel.create_channel(("é" * 129).encode())
    with pytest.raises(BAD_ID, match=r"^Client id must be UTF-8$"):
        channel.create_channel(b"\xff")


class Safe(str):
    """What template engines make of text."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def test_subclasses_of_str(backend: MemoryBackend) -> None:
    channel.create_channel(Safe("alice"))
    channel.send_message(Safe("alice"), Safe("Hello"))
    (sent,) = backend.sent
    assert (*backend.created, sent) == (("alice", 120), ("alice", "Hello"))
    assert {type(text) for text in sent} == {str}


# Durations.


@pytest.mark.parametrize(
    ("duration", "minutes"),
    [(None, 120), (1, 1), (2, 2), (120, 120), (1439, 1439), (1440, 1440), (True, 1), (1.0, 1),
     (60.0, 60), (1440.0, 1440)],
)  # fmt: skip
def test_valid_durations(backend: MemoryBackend, duration: float | None, minutes: int) -> None:
    channel.create_channel("alice", duration)
    channel.create_channel("alice", duration_minutes=duration)
    assert backend.created == [("alice", minutes)] * 2
    assert {type(minutes) for _, minutes in backend.created} == {int}


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "Argument duration_minutes must not be less than 1"),
        (-1, "Argument duration_minutes must not be less than 1"),
        (False, "Argument duration_minutes must not be less than 1"),
        (0.0, "Argument duration_minutes must not be less than 1"),
        (-0.0, "Argument duration_minutes must not be less than 1"),
        (-1e300, "Argument duration_minutes must not be less than 1"),
        (1441, "Argument duration_minutes must be less than 1441"),
        (1441.0, "Argument duration_minutes must be less than 1441"),
        (10**400, "Argument duration_minutes must be less than 1441"),
        (1e300, "Argument duration_minutes must be less than 1441"),
        (1.5, "Argument duration_minutes must be integral"),
        (0.5, "Argument duration_minutes must be integral"),
        (1440.5, "Argument duration_minutes must be integral"),
        (float("nan"), "Argument duration_minutes must be integral"),
        (float("inf"), "Argument duration_minutes must be integral"),
        (float("-inf"), "Argument duration_minutes must be integral"),
        ("60", "Argument duration_minutes must be integral"),
        ("", "Argument duration_minutes must be integral"),
        (b"60", "Argument duration_minutes must be integral"),
        (60 + 0j, "Argument duration_minutes must be integral"),
        (Decimal(60), "Argument duration_minutes must be integral"),
        (Fraction(60), "Argument duration_minutes must be integral"),
        ([], "Argument duration_minutes must be integral"),
    ],
)
def test_invalid_durations(backend: MemoryBackend, duration: Any, text: str) -> None:
    with pytest.raises(BAD_DURATION, match=f"^{text}$"):
        channel.create_channel("alice", duration)
    assert backend.created == []


def test_the_client_id_is_checked_first(backend: MemoryBackend) -> None:
    with pytest.raises(BAD_ID):
        channel.create_channel("", 0)
    with pytest.raises(BAD_ID):
        channel.send_message("", "")


# Messages.


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("Hello", "Hello"),
        (" ", " "),
        ("\x00", "\x00"),
        ("Grüße", "Grüße"),
        (b"Hello", "Hello"),
        ("Grüße".encode(), "Grüße"),
        ("x" * 32767, "x" * 32767),
        (b"x" * 32767, "x" * 32767),
        ("é" * 16383 + "x", "é" * 16383 + "x"),
        (("é" * 16383 + "x").encode(), "é" * 16383 + "x"),
    ],
    ids=len,
)
def test_valid_messages(backend: MemoryBackend, message: str | bytes, text: str) -> None:
    channel.send_message("alice", message)
    assert backend.sent == [("alice", text)]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (None, "Message must be a string"),
        (5, "Message must be a string"),
        (True, "Message must be a string"),
        ({"a": 1}, "Message must be a string"),
        (bytearray(b"Hello"), "Message must be a string"),
        ("", "Message must not be empty"),
        (b"", "Message must not be empty"),
        ("x" * 32768, "Message must be no longer than 32767 chars"),
        (b"x" * 32768, "Message must be no longer than 32767 chars"),
        ("é" * 16384, "Message must be no longer than 32767 chars"),
        (b"\xff", "Message must be UTF-8"),
        ("é".encode()[:1], "Message must be UTF-8"),
        (b"\xed\xa0\x80", "Message must be UTF-8"),
        ("\ud800", "Message contains a lone surrogate"),
    ],
    ids=str,
)
def test_invalid_messages(backend: MemoryBackend, message: Any, text: str) -> None:
    with pytest.raises(BAD_MESSAGE, match=f"^{text}$"):
        channel.send_message("alice", message)
    assert backend.sent == []


# Tokens instead of client IDs.

LONG_TOKEN = mint("alice", groups=["g" * 250] * 4)


@pytest.mark.parametrize(
    "token",
    [
        mint("alice"),
        LONG_TOKEN,
        mint("alice", iat=NOW - 7200),
        mint("alice", exp=NOW - 7200, iss="the application"),
        mint("alice", exp=NOW + 7200),
        TokenSigner([SECRET.encode()]).mint("alice", now=NOW, pos="1-0").token,
        Safe(mint("alice")),
        mint("alice").encode(),
        LONG_TOKEN.encode(),
    ],
)
def test_send_to_a_token(backend: MemoryBackend, token: str | bytes) -> None:
    channel.send_message(token, "Hello")
    assert backend.sent == [("alice", "Hello")]


def test_a_client_id_in_the_format_of_a_token(backend: MemoryBackend) -> None:
    """An application may use its own JWTs as client IDs."""
    own = mint("alice", "some other secret, of the application")
    assert len(own) <= 256
    channel.create_channel(own)
    channel.send_message(own, "Hello")
    assert backend.created == [(own, 120)]
    assert backend.sent == [(own, "Hello")]


def test_a_token_is_not_a_client_id(backend: MemoryBackend) -> None:
    with pytest.raises(BAD_ID, match="is a token"):
        channel.create_channel(mint("alice"))


def test_a_long_token_of_another_issuer(backend: MemoryBackend) -> None:
    token = mint("alice", "some other secret, of the application", groups=["g" * 250])
    with pytest.raises(BAD_ID, match="is greater than max length 256"):
        channel.send_message(token, "Hello")


# Errors of the backend.


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RequestError(400, "the client ID is 200 bytes of UTF-8; it must be 1 to 100"), BAD_ID),
        (RequestError(413, "the data is 2000 bytes of UTF-8"), BAD_MESSAGE),
        (RequestError(401, "this route is the application's"), channel.Error),
        (RequestError(503, "the server is shutting down"), channel.Error),
        (InputError("the client ID is 200 bytes of UTF-8; it must be 1 to 100"), BAD_ID),
        (TooLargeError("the data is 2000 bytes of UTF-8"), BAD_MESSAGE),
        (ForbiddenError("not allowed"), channel.Error),
        (UnavailableError("the server is shutting down"), channel.Error),
        (StateError("the hub is closed"), channel.Error),
    ],
)
def test_an_error_of_the_server(error: HeadraceError, kind: type[channel.Error]) -> None:
    appengine.use(MemoryBackend(error))
    with pytest.raises(channel.Error) as caught:
        channel.send_message("alice", "Hello")
    assert type(caught.value) is kind
    assert (str(caught.value), caught.value.__cause__) == (str(error), error)
    with pytest.raises(channel.Error):
        channel.create_channel("alice")


def test_a_server_that_cannot_be_reached() -> None:
    appengine.use(MemoryBackend(UnreachableError("connection refused")))
    with pytest.raises(channel.Error, match=r"cannot be reached: connection refused$") as caught:
        channel.send_message("alice", "Hello")
    assert type(caught.value) is channel.Error


def test_a_configuration_error_is_not_changed() -> None:
    appengine.use(MemoryBackend(ConfigError("HEADRACE_URL is not set")))
    with pytest.raises(ConfigError, match="HEADRACE_URL is not set"):
        channel.send_message("alice", "Hello")
