"""Autobahn's set 7: the closing handshake."""

from collections.abc import Iterator

from tests.hardening.websocket.cases import Case, accepted, close, encode, ended, fragments, reply

HELLO = b"Hello World!"
NOT_UTF_8 = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode() + b"\xed\xa0\x80edited"

VALID_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
INVALID_CODES = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999]
UNDEFINED_CODES = [5000, 65535]


def after_close() -> Iterator[Case]:
    """Return set 7.1: what follows the close frame is ignored."""
    normal = close(1000)
    yield accepted("7.1.1", [encode("text", HELLO)], reply("text", HELLO))
    yield ended("7.1.2", [normal + encode("close")], 1000)
    yield ended("7.1.3", [normal + encode("ping")], 1000)
    yield ended("7.1.4", [normal + encode("text", HELLO)], 1000)
    first, last = fragments("text", [b"fragment1", b"fragment2"])
    yield ended("7.1.5", [first + normal + last], 1000)
    # For Autobahn it is informational whether the two messages are echoed before the close.
    large = (b"BAsd7&jh23" * 26215)[: 256 * 1024]
    sent = encode("text", large) + encode("text", HELLO) + normal + encode("ping")
    yield ended("7.1.6", [sent], 1000, reply("text", large) + reply("text", HELLO))


def payloads() -> Iterator[Case]:
    """Return sets 7.3 and 7.5: the length and the reason."""
    yield ended("7.3.1", [encode("close")], 1000)
    yield ended("7.3.2", [encode("close", b"a")], 1002)
    yield ended("7.3.3", [close(1000)], 1000)
    yield ended("7.3.4", [close(1000, HELLO)], 1000)
    yield ended("7.3.5", [close(1000, b"*" * 123)], 1000)
    yield ended("7.3.6", [close(1000, b"*" * 124)], 1002)
    yield ended("7.5.1", [close(1000, NOT_UTF_8)], 1007)


def codes() -> Iterator[Case]:
    """Return sets 7.7, 7.9 and 7.13: a valid code is echoed, any other is refused."""
    for number, code in enumerate(VALID_CODES, start=1):
        yield ended(f"7.7.{number}", [close(code)], code)
    for number, code in enumerate(INVALID_CODES, start=1):
        yield ended(f"7.9.{number}", [close(code)], 1002)
    for number, code in enumerate(UNDEFINED_CODES, start=1):  # informational for Autobahn
        yield ended(f"7.13.{number}", [close(code)], 1002)


CASES = [*after_close(), *payloads(), *codes()]
