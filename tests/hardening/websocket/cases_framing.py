"""Autobahn's sets 1 to 5: framing, pings, reserved bits, opcodes and fragmentation."""

from collections.abc import Iterator

from tests.hardening.websocket.cases import (
    Case,
    Step,
    accepted,
    accepted_in_steps,
    cut,
    encode,
    ended,
    fragments,
    reply,
)

HELLO = b"Hello, world!"
HELLO_FRAME, HELLO_REPLY = encode("text", HELLO), reply("text", HELLO)
NOT_UTF_8 = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
PING = encode("ping")
FRAGMENTS = [b"fragment%d" % number for number in range(1, 6)]


def framing() -> Iterator[Case]:
    """Return set 1: text and binary messages of all three length classes."""
    for number, (opcode, byte) in enumerate([("text", b"*"), ("binary", b"\xfe")], start=1):
        for case, size in enumerate([0, 125, 126, 127, 128, 65535, 65536], start=1):
            payload = byte * size
            frame = encode(opcode, payload)
            yield accepted(f"1.{number}.{case}", [frame], reply(opcode, payload))
        yield accepted(f"1.{number}.8", cut(frame, 997), reply(opcode, payload))


def pings() -> Iterator[Case]:
    """Return set 2: pings and pongs."""
    for case, payload in enumerate([b"", HELLO, NOT_UTF_8, b"\xfe" * 125], start=1):
        yield accepted(f"2.{case}", [encode("ping", payload)], reply("pong", payload))
    yield ended("2.5", [encode("ping", b"\xfe" * 126)], 1002)
    payload = b"\xfe" * 125
    yield accepted("2.6", cut(encode("ping", payload), 1), reply("pong", payload))
    yield accepted("2.7", [encode("pong")], b"")
    unsolicited = encode("pong", b"unsolicited pong payload")
    yield accepted("2.8", [unsolicited], b"")
    ping = encode("ping", b"ping payload")
    yield accepted("2.9", [unsolicited + ping], reply("pong", b"ping payload"))
    payloads = [b"payload-%d" % number for number in range(10)]
    ten_pings = b"".join(encode("ping", payload) for payload in payloads)
    ten_pongs = b"".join(reply("pong", payload) for payload in payloads)
    yield accepted("2.10", [ten_pings], ten_pongs)
    yield accepted("2.11", cut(ten_pings, 1), ten_pongs)


def after_hello(number: str, frame: bytes, *, chopped: bool = False, sync: bool = False) -> Case:
    """Return a case with a valid text, then an invalid frame, then a ping.

    Autobahn's strict result: the text is echoed before the connection is failed.
    """
    if sync:
        return ended(number, [HELLO_FRAME, frame, PING], 1002, HELLO_REPLY)
    data = HELLO_FRAME + frame + PING
    return ended(number, cut(data, 1) if chopped else [data], 1002, HELLO_REPLY)


def reserved_bits() -> Iterator[Case]:
    """Return set 3: reserved bits that no extension has defined."""
    yield ended("3.1", [encode("text", HELLO, rsv=1)], 1002)
    yield after_hello("3.2", encode("text", HELLO, rsv=2))
    yield after_hello("3.3", encode("text", HELLO, rsv=3), sync=True)
    yield after_hello("3.4", encode("text", HELLO, rsv=4), chopped=True)
    yield ended("3.5", [encode("binary", NOT_UTF_8, rsv=5)], 1002)
    yield ended("3.6", [encode("binary", HELLO, rsv=6)], 1002)
    yield ended("3.7", [encode("close", rsv=7)], 1002)


def opcodes() -> Iterator[Case]:
    """Return set 4: reserved opcodes."""
    for number, first in [(1, 3), (2, 11)]:
        yield ended(f"4.{number}.1", [encode(first)], 1002)
        yield ended(f"4.{number}.2", [encode(first + 1, b"reserved opcode payload")], 1002)
        yield after_hello(f"4.{number}.3", encode(first + 2))
        yield after_hello(f"4.{number}.4", encode(first + 3, HELLO))
        yield after_hello(f"4.{number}.5", encode(first + 4, HELLO), chopped=True)


def fragmentation() -> Iterator[Case]:
    """Return set 5: fragmented messages, with control frames between, and invalid sequences."""
    one, two, three, four, _ = FRAGMENTS
    for number, opcode in [("5.1", "ping"), ("5.2", "pong")]:
        frame = encode(opcode, one, fin=False)
        yield ended(number, [frame + encode("continuation", two)], 1002)

    text = fragments("text", [one, two])
    echo = reply("text", one + two)
    yield accepted("5.3", [b"".join(text)], echo)
    yield accepted("5.4", text, echo)
    yield accepted("5.5", cut(b"".join(text), 1), echo)

    with_ping = [text[0], encode("ping", b"ping payload"), text[1]]
    echo = reply("pong", b"ping payload") + echo
    yield accepted("5.6", [b"".join(with_ping)], echo)
    yield accepted("5.7", with_ping, echo)
    yield accepted("5.8", cut(b"".join(with_ping), 1), echo)

    for start, fin in [(9, True), (12, False)]:
        frame = encode("continuation", b"non-continuation payload", fin=fin)
        yield ended(f"5.{start}", [frame + HELLO_FRAME], 1002)
        yield ended(f"5.{start + 1}", [frame, HELLO_FRAME], 1002)
        yield ended(f"5.{start + 2}", cut(frame + HELLO_FRAME, 1), 1002)

    again = encode("continuation", three, fin=False) + encode("text", four)
    yield ended("5.15", [b"".join(text) + again], 1002, reply("text", one + two))
    for number, fin in [("5.16", False), ("5.17", True)]:
        frame = encode("continuation", one, fin=fin) + b"".join(fragments("text", [two, three]))
        yield ended(number, [frame * 2], 1002)
    yield ended("5.18", [encode("text", one, fin=False) + encode("text", two)], 1002)

    first, second, *rest = fragments("text", FRAGMENTS)
    parts = [first, second, encode("ping", b"pongme 1!")]
    parts_2 = [*rest[:2], encode("ping", b"pongme 2!"), rest[2]]
    replies = reply("pong", b"pongme 2!") + reply("text", b"".join(FRAGMENTS))
    for number, sync in [("5.19", False), ("5.20", True)]:
        yield accepted_in_steps(
            number,
            Step(tuple(parts) if sync else (b"".join(parts),), reply("pong", b"pongme 1!")),
            Step(tuple(parts_2) if sync else (b"".join(parts_2),), replies),
        )


CASES = [*framing(), *pings(), *reserved_bits(), *opcodes(), *fragmentation()]
